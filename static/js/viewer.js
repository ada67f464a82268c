// Pictures of a job: swipe through them (the strip scrolls by itself), step with buttons or keys.

function shownIn(strip) {
  return Math.min(strip.children.length - 1, Math.max(0, Math.round(strip.scrollLeft / strip.clientWidth)));
}

function show(strip, index, behavior = "smooth") {
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  strip.scrollTo({ left: index * strip.clientWidth, behavior: still ? "instant" : behavior });
}

function tell(viewer, strip) {
  const index = shownIn(strip);
  const { file, name, seed, start, larger } = strip.children[index].dataset;
  const download = viewer.querySelector("[data-download]");
  download.href = file;
  download.download = name;
  viewer.querySelector("[data-start-from]").href = start;
  viewer.querySelector("[data-upscale]").href = larger;
  const button = viewer.querySelector("[data-seed-button]");
  if (button) {
    button.dataset.copy = seed;
    button.setAttribute("aria-label", `Copy the seed ${seed}`);
    button.querySelector("[data-seed-text]").textContent = seed;
  }
  viewer.querySelectorAll("[data-show]").forEach((dot, at) => {
    if (at === index) dot.setAttribute("aria-current", "true");
    else dot.removeAttribute("aria-current");
  });
  for (const step of viewer.querySelectorAll("[data-step-by]")) {
    const to = index + Number(step.dataset.stepBy);
    step.disabled = to < 0 || to >= strip.children.length;
  }
}

function start(viewer) {
  if (viewer.dataset.started) return;
  viewer.dataset.started = "yes";
  const strip = viewer.querySelector("[data-strip]");
  let waiting = 0;
  strip.addEventListener("scroll", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => tell(viewer, strip));
  }, { passive: true });
  viewer.addEventListener("click", ({ target }) => {
    const step = target.closest("[data-step-by]");
    const dot = target.closest("[data-show]");
    if (step) show(strip, shownIn(strip) + Number(step.dataset.stepBy));
    if (dot) show(strip, Number(dot.dataset.show));
  });
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    show(strip, shownIn(strip) + by);
  });
  const named = location.hash.startsWith("#picture-") && document.getElementById(location.hash.slice(1));
  if (named && strip.contains(named)) show(strip, [...strip.children].indexOf(named), "instant");
  tell(viewer, strip);
}

function startAll() {
  document.querySelectorAll("[data-viewer]").forEach(start);
}

startAll();
document.addEventListener("htmx:afterSettle", startAll);
