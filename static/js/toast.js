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
for (const element of list.querySelectorAll("[data-toast]")) dismissLater(element, SHOWN.info);
