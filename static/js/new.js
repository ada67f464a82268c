// The New page: sizes by shape, a dice for the seed, LoRAs, a picture to start from; and what was
// typed is still there at the next visit (this device only).

const form = document.getElementById("new");
const KEY = "mobilesd.new";
const field = (id) => document.getElementById(id);

// --- Size -------------------------------------------------------------------------------------
// Sizes that models were trained with: [short edge, long edge] by the length of the square's edge.
const OBLONG = { 512: [512, 768], 768: [640, 896], 1024: [832, 1216] };
const width = field("width");
const height = field("height");
const detail = field("detail");

function shapeOf(w, h) {
  if (!w || !h) return "";
  return w === h ? "square" : w < h ? "portrait" : "landscape";
}

function showShape() {
  const shape = shapeOf(Number(width.value), Number(height.value));
  for (const button of document.querySelectorAll("[data-shape]")) {
    button.setAttribute("aria-pressed", String(button.dataset.shape === shape));
  }
}

function showDetail() {
  const edge = Math.sqrt(Number(width.value) * Number(height.value));
  const nearest = Object.keys(OBLONG).sort((a, b) => Math.abs(a - edge) - Math.abs(b - edge))[0];
  if (edge) detail.value = nearest;
}

function setSize(shape) {
  const [short, long] = shape === "square" ? [detail.value, detail.value] : OBLONG[detail.value];
  [width.value, height.value] = shape === "landscape" ? [long, short] : [short, long];
  changed();
}

form.addEventListener("click", ({ target }) => {
  const shape = target.closest("[data-shape]");
  if (shape) setSize(shape.dataset.shape);
});
detail.addEventListener("change", () => {
  setSize(shapeOf(Number(width.value), Number(height.value)) || "portrait");
});
field("swap").addEventListener("click", () => {
  [width.value, height.value] = [height.value, width.value];
  changed();
});

// --- Sliders, seed, count ---------------------------------------------------------------------
for (const slider of document.querySelectorAll("[data-moves]")) {
  const number = field(slider.dataset.moves);
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => { slider.value = number.value; });
}
field("dice").addEventListener("click", () => {
  field("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
  changed();
});
field("any-seed").addEventListener("click", () => {
  field("seed").value = "";
  changed();
});
form.addEventListener("click", ({ target }) => {
  const step = target.closest("[data-count]");
  if (!step) return;
  const count = Number(field("count").value) || 1;
  field("count").value = Math.min(64, Math.max(1, count + Number(step.dataset.count)));
  changed();
});

// --- LoRAs ------------------------------------------------------------------------------------
const loras = field("loras");

function shortName(name) {
  return name.split(/[\\/]/).pop().replace(/\.(safetensors|ckpt|pt|gguf|bin)$/i, "");
}

function addLora(name, weight = "1") {
  const row = field("lora-template").content.firstElementChild.cloneNode(true);
  row.querySelector("[name=lora_name]").value = name;
  row.querySelector("[data-lora-name]").textContent = shortName(name);
  row.querySelector("[data-lora-range]").value = weight;
  row.querySelector("[data-lora-weight]").value = weight;
  for (const part of row.querySelectorAll("[aria-label]")) {
    const label = part.getAttribute("aria-label");
    part.setAttribute("aria-label", label.replace(/(Weight of|Remove) ?/, `$1 ${shortName(name)}`));
  }
  loras.append(row);
}

loras.addEventListener("input", ({ target }) => {
  const row = target.closest(".lora");
  if (target.matches("[data-lora-range]")) row.querySelector("[data-lora-weight]").value = target.value;
  if (target.matches("[data-lora-weight]")) row.querySelector("[data-lora-range]").value = target.value;
});
loras.addEventListener("click", ({ target }) => {
  if (!target.closest("[data-lora-remove]")) return;
  target.closest(".lora").remove();
  changed();
});
field("lora-choices").addEventListener("click", ({ target }) => {
  const choice = target.closest("[data-lora]");
  if (!choice) return;
  addLora(choice.dataset.lora);
  field("lora-sheet").close();
  changed();
});
field("lora-search").addEventListener("input", ({ target }) => {
  const words = target.value.toLowerCase().split(/\s+/);
  for (const row of document.querySelectorAll("#lora-choices [data-words]")) {
    row.hidden = !words.every((word) => row.dataset.words.includes(word));
  }
});

// --- A picture to start from ------------------------------------------------------------------
const file = field("init-file");
const image = field("init-image");
const job = field("init-job");
const shown = field("start-picture");
let shownUrl = "";

// A picture of another shape would be stretched, so the size follows the picture.
function followSize(w, h) {
  if (!w || !h) return;
  const scale = Math.min(1, 1024 / Math.sqrt(w * h));
  const fit = (edge) => Math.min(8192, Math.max(64, Math.round((edge * scale) / 8) * 8));
  [width.value, height.value] = [fit(w), fit(h)];
  showDetail();
  changed();
}

function showStart(url, text) {
  const chosen = Boolean(url || text);
  field("start-none").hidden = chosen;
  field("start-chosen").hidden = !chosen;
  field("denoising-field").hidden = !chosen;
  shown.hidden = !url;
  if (url) shown.src = url;
  else shown.removeAttribute("src");
  field("start-text").textContent = text;
}

function clearStart() {
  file.value = image.value = job.value = "";
  URL.revokeObjectURL(shownUrl);
  showStart("", "");
}

file.addEventListener("change", () => {
  const [chosen] = file.files;
  if (!chosen) return clearStart();
  image.value = job.value = "";
  URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(chosen);
  showStart(shownUrl, chosen.name);
  shown.addEventListener("load", () => followSize(shown.naturalWidth, shown.naturalHeight), { once: true });
});
field("start-clear").addEventListener("click", () => {
  clearStart();
  changed();
});
field("pick").addEventListener("click", () => window.htmx.trigger("#picks", "open-sheet"));
field("picks").addEventListener("click", ({ target }) => {
  const choice = target.closest("[data-pick]");
  if (!choice) return;
  clearStart();
  image.value = choice.dataset.pick;
  showStart(choice.dataset.thumbnail, "An earlier picture");
  followSize(Number(choice.dataset.width), Number(choice.dataset.height));
  field("pick-sheet").close();
  changed();
});
// --- What was typed is kept -------------------------------------------------------------------
const NAMES = ["prompt", "negative", "checkpoint", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed", "count", "server", "denoising"];

function save() {
  const draft = Object.fromEntries(NAMES.map((name) => [name, form.elements[name].value]));
  draft.loras = [...loras.children].map((row) => [
    row.querySelector("[name=lora_name]").value,
    row.querySelector("[data-lora-weight]").value,
  ]);
  try {
    localStorage.setItem(KEY, JSON.stringify(draft));
  } catch { /* a full or forbidden storage only costs the memory */ }
}

function restore(fixed = new Set()) {
  let draft;
  try {
    draft = JSON.parse(localStorage.getItem(KEY));
  } catch { /* unreadable: as if there were none */ }
  if (!draft) return;
  for (const name of NAMES) {
    const input = form.elements[name];
    const value = draft[name];
    if (typeof value !== "string" || fixed.has(name)) continue;
    if (input instanceof HTMLSelectElement && ![...input.options].some((o) => o.value === value)) {
      if (name === "server") continue; // it is gone
      input.add(new Option(`${shortName(value)} (no server now)`, value));
    }
    input.value = value;
  }
  if (fixed.has("loras")) return;
  loras.replaceChildren();
  for (const [name, weight] of draft.loras ?? []) addLora(name, weight);
}

// Browsers that don't let a text area grow with its text by themselves.
function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

function changed() {
  showShape();
  save();
}

form.addEventListener("input", ({ target }) => {
  if (target.matches("[data-grow]")) grow(target);
  if (target.hasAttribute("data-unsent")) return;
  if (target === width || target === height) showDetail();
  const error = field(`error-${target.name}`);
  if (error) error.textContent = "";
  target.removeAttribute("aria-invalid");
  changed();
});

// What the preset says goes before what is remembered; the rest stays.
if (!form.hasAttribute("data-prefilled")) restore(new Set((form.dataset.fixed ?? "").split(" ")));
for (const slider of document.querySelectorAll("[data-moves]")) slider.value = field(slider.dataset.moves).value;
document.querySelectorAll("[data-grow]").forEach(grow);
if (image.value) {
  showStart(shown.getAttribute("src"), "An earlier picture");
  if (!form.hasAttribute("data-prefilled")) followSize(Number(image.dataset.width), Number(image.dataset.height));
} else if (job.value) {
  showStart("", field("start-text").textContent);
}
showShape();
showDetail();
if (form.hasAttribute("data-prefilled") || form.hasAttribute("data-fixed")) save();

// --- Presets ----------------------------------------------------------------------------------
const preset = field("preset-choice");
preset.addEventListener("change", () => {
  location.href = preset.value ? preset.dataset.goesTo + preset.value : preset.dataset.goesTo.split("?")[0];
});
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.elt.id !== "preset-form" || !detail.successful) return;
  detail.elt.reset();
  field("preset-sheet").close();
});

// --- Errors: mark the fields and go to the first one -------------------------------------------
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.elt !== form || detail.xhr.status !== 422) return;
  field("form-error").hidden = false;
  let first = null;
  for (const error of form.querySelectorAll(".field-error")) {
    const input = form.elements[error.id.replace("error-", "")];
    if (!(input instanceof HTMLElement)) continue;
    if (error.textContent.trim()) {
      input.setAttribute("aria-invalid", "true");
      first ??= input;
    } else {
      input.removeAttribute("aria-invalid");
    }
  }
  (first ?? field("form-error")).scrollIntoView({ block: "center" });
  first?.focus({ preventScroll: true });
});
