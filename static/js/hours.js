// The form of hours: ready answers, and the time zone of this device for who sets them first.

const zone = document.getElementById("time_zone");
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;

if (zone?.dataset.presetZone && own !== zone.dataset.presetZone) {
  if ([...zone.options].some(({ value }) => value === own)) zone.value = own;
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("[data-hours]");
  if (!button) return;
  const field = document.getElementById("hours");
  field.value = button.dataset.hours;
  field.removeAttribute("aria-invalid");
  document.getElementById("hours-error").textContent = "";
});
