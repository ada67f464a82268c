// Bars, previews and times of running jobs, moved in place. A message counts only for the attempt
// that the page shows, and only if it is newer than what is shown.

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (whole < 600) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  if (whole < 3600) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

function cardOf({ job, attempt }) {
  const selector = `[data-job="${CSS.escape(job)}"][data-attempt="${CSS.escape(attempt)}"]`;
  return document.querySelector(selector);
}

let heard = Date.now();

function show(card, { seq, progress, text, eta }) {
  card.dataset.seq = seq;
  const bar = card.querySelector("progress");
  if (bar) bar.value = progress;
  const percent = card.querySelector("[data-percent]");
  if (percent) percent.textContent = `${Math.round(progress * 100)} %`;
  const step = card.querySelector("[data-step]");
  if (step) step.textContent = text ? ` · ${text}` : "";
  const left = card.querySelector("[data-left]");
  if (left) left.textContent = eta === null || eta === undefined ? "" : `${duration(eta)} left`;
}

document.addEventListener("mobilesd:job.progress", ({ detail }) => {
  heard = Date.now();
  const card = cardOf(detail);
  if (card && detail.seq > Number(card.dataset.seq)) show(card, detail);
});

document.addEventListener("mobilesd:job.preview", ({ detail }) => {
  const card = cardOf(detail);
  const image = card?.querySelector("img[data-preview]");
  if (!image || detail.seq <= Number(image.dataset.seq ?? -1)) return;
  image.dataset.seq = detail.seq;
  const next = new Image(); // shown only once it is there: no empty moment between two previews
  next.addEventListener("load", () => {
    if (Number(image.dataset.seq) === detail.seq) image.src = next.src;
  });
  next.src = detail.url;
});

// A list was read again and this card stayed: the answer still knows how far the job is, or for how
// long nothing was heard of it.
document.addEventListener("kept", ({ target, detail }) => {
  const [card, fresh] = [target, detail].map((e) => (e.matches("[data-watch]") ? e : e.querySelector("[data-watch]")));
  if (!card || !fresh) return;
  const { seq, progress, text, eta } = fresh.dataset;
  if (Number(seq) < Number(card.dataset.seq)) return;
  show(card, {
    seq: Number(seq),
    progress: Number(progress),
    text,
    eta: eta === "" ? null : Number(eta),
  });
});

// A preview that is not there yet, or any more, leaves its place empty.
function mark({ target, type }) {
  if (target instanceof HTMLImageElement && target.hasAttribute("data-preview")) {
    target.classList.toggle("there", type === "load");
  }
}
document.addEventListener("load", mark, true);
document.addEventListener("error", mark, true);
for (const image of document.querySelectorAll("img[data-preview]")) {
  image.classList.toggle("there", image.complete && image.naturalWidth > 0);
}

// Of a run that stands still no message comes; the page reads again how long it has done so.
const STILL = 60_000;
setInterval(() => {
  const card = document.querySelector("[data-watch]");
  if (!card || document.visibilityState !== "visible" || Date.now() - heard < STILL) return;
  window.htmx.trigger(card.closest("[data-live]"), "refresh");
}, STILL / 2);
