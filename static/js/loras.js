// The LoRAs of a form: chosen in a sheet, each with its weight. "edited" tells the form.

const form = document.querySelector("form.new");
const list = document.getElementById("loras");

export function shortName(name) {
  return name.split(/[\\/]/).pop().replace(/\.(safetensors|ckpt|pt|gguf|bin)$/i, "");
}

export function addLora(name, weight = "1") {
  const row = document.getElementById("lora-template").content.firstElementChild.cloneNode(true);
  row.querySelector("[name=lora_name]").value = name;
  row.querySelector("[data-lora-name]").textContent = shortName(name);
  row.querySelector("[data-lora-range]").value = weight;
  row.querySelector("[data-lora-weight]").value = weight;
  for (const part of row.querySelectorAll("[aria-label]")) {
    const label = part.getAttribute("aria-label");
    part.setAttribute("aria-label", label.replace(/(Weight of|Remove) ?/, `$1 ${shortName(name)}`));
  }
  list.append(row);
}

export function setLoras(loras) {
  list.replaceChildren();
  for (const [name, weight] of loras) addLora(name, weight);
}

export function loras() {
  return [...list.children].map((row) => [
    row.querySelector("[name=lora_name]").value,
    row.querySelector("[data-lora-weight]").value,
  ]);
}

list.addEventListener("input", ({ target }) => {
  const row = target.closest(".lora");
  if (target.matches("[data-lora-range]")) row.querySelector("[data-lora-weight]").value = target.value;
  if (target.matches("[data-lora-weight]")) row.querySelector("[data-lora-range]").value = target.value;
});
list.addEventListener("click", ({ target }) => {
  if (!target.closest("[data-lora-remove]")) return;
  target.closest(".lora").remove();
  form.dispatchEvent(new Event("edited"));
});
document.getElementById("lora-choices").addEventListener("click", ({ target }) => {
  const choice = target.closest("[data-lora]");
  if (!choice) return;
  addLora(choice.dataset.lora);
  document.getElementById("lora-sheet").close();
  form.dispatchEvent(new Event("edited"));
});
