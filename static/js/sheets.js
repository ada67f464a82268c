// Sheets with long lists: narrowed by words, and several chosen at once.

document.addEventListener("input", ({ target }) => {
  const list = target.dataset.narrows && document.getElementById(target.dataset.narrows);
  if (!list) return;
  const words = target.value.toLowerCase().split(/\s+/);
  for (const row of list.querySelectorAll("[data-words]")) {
    row.hidden = !words.every((word) => row.dataset.words.includes(word));
  }
});

// --- Several of a list: the button says which --------------------------------------------------
const boxes = (name) => [...document.querySelectorAll(`input[type=checkbox][name="${name}"]`)];

function tell(shown) {
  const chosen = boxes(shown.dataset.picked).filter((box) => box.checked);
  const names = chosen.map((box) => box.dataset.short);
  shown.textContent = names.length > 1 ? `${names.length}: ${names.join(", ")}` : names[0] ?? shown.dataset.none;
}

const all = document.querySelectorAll("[data-picked]");
document.addEventListener("change", ({ target }) => {
  for (const shown of all) if (shown.dataset.picked === target.name) tell(shown);
});
document.addEventListener("click", ({ target }) => {
  const name = target.closest?.("[data-clears]")?.dataset.clears;
  if (!name) return;
  const chosen = boxes(name).filter((box) => box.checked);
  for (const box of chosen) box.checked = false;
  chosen[0]?.dispatchEvent(new Event("change", { bubbles: true }));
});
all.forEach(tell);
