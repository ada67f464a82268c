// The upscale page: how large the picture gets, a picture from this device, and the upscaler of the
// last time (this device only).

import "./refused.js";
import "./sliders.js";

const KEY = "mobilesd.upscale";
const LIMIT = 64_000_000;
const form = document.getElementById("upscale");
const field = (id) => document.getElementById(id);
const [image, source, job, file] = ["init-image", "init-source", "init-job", "init"].map(field);
const [factor, upscaler, result] = ["upscale_by", "upscaler", "upscale-result"].map(field);
const shown = field("start-picture");
const untold = result.textContent;
let size = [Number(image.dataset.width ?? 0), Number(image.dataset.height ?? 0)];
let shownUrl = "";

function tell() {
  const [width, height] = size;
  const by = Number(factor.value);
  if (!width || !height || !(by >= 1)) {
    result.textContent = untold;
    return;
  }
  const [across, down] = [Math.round(width * by), Math.round(height * by)];
  const pixels = across * down;
  const text = `${width} × ${height} becomes ${across} × ${down}, ${(pixels / 1e6).toFixed(1)} megapixels.`;
  result.textContent = pixels > LIMIT ? `${text} That is more than 64: choose less.` : text;
}

file.addEventListener("change", () => {
  const [chosen] = file.files;
  if (!chosen) return;
  image.value = source.value = job.value = "";
  URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(chosen);
  field("start-chosen").hidden = shown.hidden = false;
  field("start-text").textContent = chosen.name;
  field("file-label").textContent = "Another one from this device";
  field("error-init").textContent = "";
  size = [0, 0];
  tell();
  shown.addEventListener("load", () => {
    size = [shown.naturalWidth, shown.naturalHeight];
    tell();
  }, { once: true });
  shown.src = shownUrl;
});
form.addEventListener("input", tell);

// --- The upscaler of the last time ----------------------------------------------------------------
function remembered() {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

const isNew = !job.value; // else it is to be as it was
const known = upscaler.options && [...upscaler.options].some(({ value }) => value === remembered());
if (isNew && known) upscaler.value = remembered();
form.addEventListener("submit", () => {
  try {
    localStorage.setItem(KEY, upscaler.value);
  } catch {
    // Then it is chosen again the next time.
  }
});
tell();
