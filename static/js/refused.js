// What the server refused: the fields are marked, and the first one is gone to.

const form = document.querySelector("form.new");
const summary = document.getElementById("form-error");

form.addEventListener("input", ({ target }) => {
  const error = document.getElementById(`error-${target.name}`);
  if (error) error.textContent = "";
  target.removeAttribute("aria-invalid");
});

document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.elt !== form || detail.xhr.status !== 422) return;
  summary.hidden = false;
  let first = null;
  for (const error of form.querySelectorAll(".field-error")) {
    const wrong = Boolean(error.textContent.trim());
    const named = form.elements[error.id.replace("error-", "")];
    const input = named instanceof HTMLElement ? named : null; // a list of boxes has no one field
    if (wrong) {
      input?.setAttribute("aria-invalid", "true");
      for (let part = error.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
      first ??= input ?? error.closest(".field");
    } else {
      input?.removeAttribute("aria-invalid");
    }
  }
  (first ?? summary).scrollIntoView({ block: "center" });
  first?.focus({ preventScroll: true });
});
