// Toasts: what was done, or why not. The server sends them with an answer (HX-Trigger: toast).

const list = document.getElementById("toasts");
const SHOWN = { info: 4000, error: 9000 };

function dismissLater(toast, milliseconds) {
  let timer = setTimeout(() => toast.remove(), milliseconds);
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", () => {
    timer = setTimeout(() => toast.remove(), 2000);
  });
  toast.addEventListener("click", () => toast.remove());
}

function toast({ text, hint, kind }) {
  const element = document.createElement("div");
  element.className = `toast ${kind ?? ""}`;
  element.append(text);
  if (hint) {
    const line = document.createElement("p");
    line.textContent = hint;
    element.append(line);
  }
  list.append(element);
  while (list.children.length > 3) list.firstElementChild.remove();
  dismissLater(element, kind === "error" ? SHOWN.error : SHOWN.info);
}

document.addEventListener("toast", ({ detail }) => toast(detail));
document.addEventListener("htmx:sendError", () =>
  toast({ text: "MobileSD can't be reached.", hint: "Nothing was changed. Try again.", kind: "error" }));
document.addEventListener("htmx:timeout", () =>
  toast({ text: "MobileSD took too long to answer.", hint: "Look at the queue before you try again.", kind: "error" }));
document.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.xhr.getResponseHeader("HX-Trigger")) return; // it brought its own words
  if (detail.xhr.status === 403) {
    toast({ text: "This page was open for too long.", hint: "Reload it and try again.", kind: "error" });
  } else {
    toast({ text: "MobileSD had a fault of its own.", hint: "Try again, or look into its log.", kind: "error" });
  }
});
for (const element of list.querySelectorAll("[data-toast]")) dismissLater(element, SHOWN.info);
