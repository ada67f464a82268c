// Many jobs of one order: the server counts them while somebody types, with the code that makes them.

import { hasStart } from "./start.js";

const form = document.getElementById("new");
const many = document.getElementById("many");
const line = document.getElementById("many-count");
const alternatives = document.getElementById("alternatives");
let counted = false;

function isUsed() {
  const own = [...form.elements].filter((input) => many.contains(input) || input.name.startsWith("many_"));
  return own.some((input) => {
    if (input.type === "checkbox") return input.checked;
    if (input.tagName === "SELECT" && input.name !== "folder") return false; // alone they change nothing
    return input.name && input.value.trim() !== (input.dataset.plain ?? "");
  });
}

function offerAlternatives() {
  const texts = form.elements.prompt.value + form.elements.negative.value;
  const some = texts.includes("{") && texts.includes("|");
  document.getElementById("alternatives-field").hidden = !some && !alternatives.checked;
  return some;
}

// Denoising means nothing without a picture, so what was typed goes with it.
function followStart() {
  const denoising = document.getElementById("many-denoising-field");
  denoising.hidden = !hasStart();
  if (denoising.hidden) form.elements.many_denoising.value = "";
}

function recount() {
  followStart();
  const some = offerAlternatives();
  const now = isUsed() || (some && alternatives.checked);
  if (now || counted) window.htmx.trigger(line, "count");
  counted = now;
}

form.addEventListener("input", recount);
form.addEventListener("edited", recount);
document.addEventListener("change", ({ target }) => {
  if (target.name?.startsWith("many_")) recount();
});
// A wrong list is marked in a sheet's field as well; choosing anew answers it.
document.addEventListener("change", ({ target }) => {
  const error = target.form === form && document.getElementById(`error-${target.name}`);
  if (error) error.textContent = "";
});
recount();
// What was remembered may be many already; before this, htmx does not listen yet.
document.addEventListener("DOMContentLoaded", recount);
