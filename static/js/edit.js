// The page that changes a waiting job: its times are shown and read in this device's time zone,
// and errors lead to their field.

const form = document.getElementById("edit");

function wall(moment) {
  const shifted = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

function hidden(name) {
  const input = document.createElement("input");
  input.type = "hidden";
  input.name = name;
  form.append(input);
  return input;
}

for (const input of form.querySelectorAll("[data-moment]")) {
  const offset = hidden(`offset_${input.name}`);
  const hint = document.getElementById(`zone-${input.name}`);
  if (input.dataset.moment && input.value) {
    input.value = wall(new Date(input.dataset.moment));
    form.elements[`was_${input.name}`].value = input.value;
  }
  hint.textContent = "In this device's time zone. Empty: none.";
  const tell = () => {
    offset.value = input.value ? new Date(input.value).getTimezoneOffset() : "";
  };
  input.addEventListener("input", tell);
  tell();
}

form.addEventListener("input", ({ target }) => {
  const error = document.getElementById(`error-${target.name}`);
  if (error) error.textContent = "";
  target.removeAttribute("aria-invalid");
});

document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.elt !== form || detail.xhr.status !== 422) return;
  const summary = document.getElementById("form-error");
  summary.hidden = false;
  let first = null;
  for (const error of form.querySelectorAll(".field-error")) {
    const input = form.elements[error.id.replace("error-", "")];
    const wrong = Boolean(error.textContent.trim());
    input?.toggleAttribute("aria-invalid", wrong);
    if (wrong) input?.setAttribute("aria-invalid", "true");
    if (wrong) first ??= input;
  }
  (first ?? summary).scrollIntoView({ block: "center" });
  first?.focus({ preventScroll: true });
});
