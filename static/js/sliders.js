// Sliders beside numbers: each moves the other.

for (const slider of document.querySelectorAll("[data-moves]")) {
  const number = document.getElementById(slider.dataset.moves);
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => { slider.value = number.value; });
}
