// When a job is to run: times are shown and read in this device's time zone; jobs to wait for.

import { whenJobIsPicked } from "./pick-job.js";

const form = document.querySelector("form.new");
const needs = document.getElementById("needs");
const told = document.getElementById("when-told");

// --- Times ------------------------------------------------------------------------------------
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
  if (input.dataset.moment && input.value) {
    input.value = wall(new Date(input.dataset.moment));
    form.elements[`was_${input.name}`].value = input.value;
  }
  document.getElementById(`zone-${input.name}`).textContent = "In this device's time zone. Empty: none.";
  const tell = () => {
    offset.value = input.value ? new Date(input.value).getTimezoneOffset() : "";
  };
  input.addEventListener("input", tell);
  tell();
}

// --- Jobs to wait for -------------------------------------------------------------------------
whenJobIsPicked("need", ({ job, label, state }) => {
  if ([...needs.querySelectorAll("[name=need_job]")].some((input) => input.value === job)) return;
  const row = document.getElementById("need-template").content.firstElementChild.cloneNode(true);
  row.querySelector("[name=need_job]").value = job;
  row.querySelector("[data-need-label]").textContent = label;
  row.querySelector("[data-need-state]").textContent = state;
  for (const part of row.querySelectorAll("[aria-label]")) {
    part.setAttribute("aria-label", `${part.getAttribute("aria-label").trim()} ${label.slice(0, 60)}`);
  }
  needs.append(row);
  form.dispatchEvent(new Event("edited"));
});
needs.addEventListener("click", ({ target }) => {
  if (!target.closest("[data-need-remove]")) return;
  target.closest("li").remove();
  document.getElementById("error-needs").textContent = "";
  form.dispatchEvent(new Event("edited"));
});

// --- What is set stands beside the title, also while the part is closed -------------------------
function tell() {
  if (!told) return;
  const { priority, lane, not_before: notBefore, deadline } = form.elements;
  const waits = needs.children.length;
  told.textContent = [
    priority.value !== priority.dataset.plain && `priority ${priority.value}`,
    lane.value !== lane.dataset.plain && "background",
    notBefore.value && `not before ${new Date(notBefore.value).toLocaleString([], { dateStyle: "short", timeStyle: "short" })}`,
    deadline.value && "with a deadline",
    waits && `after ${waits} job${waits > 1 ? "s" : ""}`,
  ].filter(Boolean).join(", ");
}
form.addEventListener("input", tell);
form.addEventListener("edited", tell);
tell();
