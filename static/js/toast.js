// Toasts: what was done, or why not. The server sends them with an answer (HX-Trigger: toast).

const list = document.getElementById("toasts");
const SHOWN = { info: 4000, error: 9000, undo: 10_000 };
const LATE = 300; // milliseconds that the way of an Undo to the server may take

function dismissLater(toast, milliseconds) {
  let timer = setTimeout(() => toast.remove(), milliseconds);
  if (toast.querySelector("[data-undo]")) return; // it goes when it is of no use any more
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", () => {
    timer = setTimeout(() => toast.remove(), 2000);
  });
  toast.addEventListener("click", () => toast.remove());
}

// --- Undo: a button in the toast, or Ctrl+Z wherever nothing is being typed ----------------------
function undoForm(url) {
  const form = document.createElement("form");
  form.method = "post";
  form.action = url;
  const button = document.createElement("button");
  button.className = "toast-undo";
  button.dataset.undo = "";
  button.textContent = "Undo";
  const keys = document.createElement("span");
  keys.className = "unseen";
  keys.textContent = " with Control Z, for 10 seconds";
  button.append(keys);
  form.append(button);
  return form;
}

async function undo(form) {
  const url = form.getAttribute("action");
  form.closest(".toast").remove();
  try {
    await window.htmx.ajax("POST", url, { swap: "none" });
  } catch { /* the toast says it */ }
}

list.addEventListener("submit", (event) => {
  if (!event.target.querySelector("[data-undo]")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  undo(event.target);
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
  if (event.target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
  const newest = [...list.querySelectorAll("[data-undo]")].at(-1);
  if (!newest) return;
  event.preventDefault();
  undo(newest.form);
});

function toast({ text, hint, kind, undo: back }) {
  const element = document.createElement("div");
  element.className = `toast ${kind ?? ""}`;
  const words = document.createElement("span");
  words.textContent = text;
  element.append(words);
  if (hint) {
    const line = document.createElement("p");
    line.textContent = hint;
    element.append(line);
  }
  if (back) element.append(undoForm(back.url));
  list.append(element);
  while (list.children.length > 3) list.firstElementChild.remove();
  if (back) dismissLater(element, Math.max(0, back.seconds * 1000 - LATE));
  else dismissLater(element, kind === "error" ? SHOWN.error : SHOWN.info);
}

document.addEventListener("toast", ({ detail }) => toast(detail));

// Lists that read themselves again try once more by themselves (live.js): no word about them.
function complain(event, text, hint) {
  if (!event.target.matches?.("[data-live]")) toast({ text, hint, kind: "error" });
}

document.addEventListener("htmx:sendError", (event) =>
  complain(event, "MobileSD can't be reached.", "Try again when it is back."));
document.addEventListener("htmx:timeout", (event) =>
  complain(event, "MobileSD took too long to answer.", "Look at the queue before you try again."));
document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  if (xhr.getResponseHeader("HX-Trigger")) return; // it brought its own words
  if (xhr.status === 403) {
    complain(event, "This page was open for too long.", "Reload it and try again.");
  } else {
    complain(event, "MobileSD had a fault of its own.", "Try again, or look into its log.");
  }
});
for (const element of list.querySelectorAll("[data-toast]")) {
  dismissLater(element, element.querySelector("[data-undo]") ? SHOWN.undo - 2000 : SHOWN.info);
}
