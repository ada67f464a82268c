// The picture that a form starts from: a file, an earlier picture, or one that a job has yet to make.

import { whenJobIsPicked } from "./pick-job.js";

const form = document.querySelector("form.new");
const field = (id) => document.getElementById(id);
const [width, height] = [field("width"), field("height")];
const file = field("init-file");
const image = field("init-image");
const job = field("init-job");
const source = field("init-source");
const shown = field("start-picture");
let shownUrl = "";

const edited = () => form.dispatchEvent(new Event("edited"));

// A picture of another shape would be stretched, so the size follows the picture.
function followSize(w, h) {
  if (!w || !h) return;
  const scale = Math.min(1, 1024 / Math.sqrt(w * h));
  const fit = (edge) => Math.min(8192, Math.max(64, Math.round((edge * scale) / 8) * 8));
  [width.value, height.value] = [fit(w), fit(h)];
  edited();
}

function show(url, text) {
  const chosen = Boolean(url || text);
  field("start-none").hidden = chosen;
  field("start-chosen").hidden = !chosen;
  field("denoising-field").hidden = !chosen;
  shown.hidden = !url;
  if (url) shown.src = url;
  else shown.removeAttribute("src");
  field("start-text").textContent = text;
  field("error-init").textContent = "";
}

function clear() {
  file.value = image.value = job.value = source.value = "";
  URL.revokeObjectURL(shownUrl);
  show("", "");
}

file.addEventListener("change", () => {
  const [chosen] = file.files;
  if (!chosen) {
    clear();
    edited();
    return;
  }
  image.value = job.value = source.value = "";
  URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(chosen);
  show(shownUrl, chosen.name);
  shown.addEventListener("load", () => followSize(shown.naturalWidth, shown.naturalHeight), { once: true });
  edited();
});
field("start-clear").addEventListener("click", () => {
  clear();
  edited();
  file.focus();
});
field("pick").addEventListener("click", () => window.htmx.trigger("#picks", "open-sheet"));
field("picks").addEventListener("click", ({ target }) => {
  const choice = target.closest("[data-pick]");
  if (!choice) return;
  clear();
  image.value = choice.dataset.pick;
  show(choice.dataset.thumbnail, "An earlier picture");
  followSize(Number(choice.dataset.width), Number(choice.dataset.height));
  field("pick-sheet").close();
  edited();
});
whenJobIsPicked("start", ({ job: id, label }) => {
  clear();
  source.value = id;
  show("", `The picture of: ${label}`);
  edited();
});

// The page came with an earlier picture, whose size goes before the one that is remembered.
export function sizeFromStart() {
  if (image.value) followSize(Number(image.dataset.width), Number(image.dataset.height));
}

export const hasStart = () => !field("start-chosen").hidden;

// What the page came with.
if (image.value) {
  show(shown.getAttribute("src"), "An earlier picture");
} else if (job.value || source.value) {
  show("", field("start-text").textContent);
}
