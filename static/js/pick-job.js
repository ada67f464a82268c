// The sheet in which a job is chosen. Whoever opens it says what for (data-picks), and is told.

const sheet = document.getElementById("job-sheet");
const list = document.getElementById("job-choices");
const takers = new Map();
let purpose = "";

export function whenJobIsPicked(what, take) {
  takers.set(what, take);
}

document.addEventListener("click", ({ target }) => {
  const opener = target.closest?.("[data-picks]");
  if (!opener) return;
  purpose = opener.dataset.picks;
  window.htmx.trigger(list, "open-sheet");
});
list.addEventListener("click", ({ target }) => {
  const choice = target.closest("[data-job]");
  if (!choice) return;
  takers.get(purpose)?.(choice.dataset);
  sheet.close();
});
// A job can't wait for itself.
list.addEventListener("htmx:afterSwap", () => {
  if (!list.dataset.but) return;
  list.querySelector(`[data-job="${list.dataset.but}"]`)?.closest("li").remove();
});
