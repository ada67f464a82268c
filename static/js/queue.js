// The queue page: the sheet of a job, selecting many, and what rows show that changes by itself.

import { say } from "./says.js";

// --- The sheet of a job -------------------------------------------------------------------------
const sheet = document.getElementById("row-menu");
const body = document.getElementById("row-menu-body");

document.addEventListener("htmx:afterSwap", ({ detail }) => {
  if (detail.target === body && !sheet.open) sheet.showModal();
});
// Whatever was chosen, its toast is to be seen.
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (sheet.open && sheet.contains(detail.elt)) sheet.close();
});
// The pause menu has done its work.
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  const menu = detail.elt.closest?.("details[data-menu]");
  if (menu) menu.open = false;
});

// --- Rows that stay as they are still get their new place and time -------------------------------
document.addEventListener("kept", ({ target, detail }) => {
  if (!target.matches("[data-entry]")) return;
  const { place, when } = detail.dataset;
  Object.assign(target.dataset, { place, when });
  const number = target.querySelector("[data-place-text]");
  if (number) number.textContent = place || "–";
  const time = target.querySelector("[data-when-text]");
  if (time) time.textContent = when ? ` Starts ${when}.` : "";
});

// --- Selecting many -------------------------------------------------------------------------------
const queue = document.getElementById("queue");
const bar = document.getElementById("many");
const selected = new Set();

const boxes = () => [...document.querySelectorAll("#waiting .pick input")];
const selecting = () => queue.classList.contains("selecting");

function count() {
  const text = selected.size ? `${selected.size} selected` : "Select jobs";
  bar.querySelector("[data-count-text]").textContent = text;
  for (const button of bar.querySelectorAll("button[name=do], select")) button.disabled = !selected.size;
}

// What a swap brought knows nothing of the selection; what it took away is selected no more.
function restore() {
  const button = document.getElementById("select");
  button?.setAttribute("aria-pressed", String(selecting()));
  const there = new Set(boxes().map((box) => box.value));
  for (const key of [...selected]) if (!there.has(key)) selected.delete(key);
  for (const box of boxes()) box.checked = selected.has(box.value);
  if (selecting()) count();
}

function turn(on) {
  queue.classList.toggle("selecting", on);
  if (!on) selected.clear();
  restore();
  if (on) say("Choose jobs; what can be done with them is below the list.");
}

function pick(some, on) {
  for (const box of some) {
    box.checked = on;
    if (on) selected.add(box.value);
    else selected.delete(box.value);
  }
  count();
}

if (queue && bar) {
  document.addEventListener("htmx:afterSwap", ({ detail }) => {
    if (detail.target.id === "active") restore();
  });
  document.addEventListener("change", ({ target }) => {
    if (target.matches(".pick input")) pick([target], target.checked);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-select]")) {
      event.preventDefault();
      turn(!selecting());
    } else if (event.target.closest("[data-done]")) {
      event.preventDefault();
      turn(false);
      document.getElementById("select")?.focus();
    } else if (event.target.closest("[data-all]")) {
      const on = boxes().some((box) => !box.checked);
      pick(boxes(), on);
    } else if (selecting()) {
      const row = event.target.closest("#waiting > [data-entry]");
      if (!row || event.target.closest(".pick, .grab, button")) return;
      event.preventDefault(); // the whole row is the target for a thumb
      const box = row.querySelector(".pick input");
      pick([box], !box.checked);
    }
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target.closest?.("[data-select], [data-done]")) {
      event.preventDefault();
      event.target.click();
    }
  });
  turn(selecting());
}
