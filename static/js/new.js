// The New page: sizes by shape, a dice for the seed; and what was typed is still there at the next
// visit (this device only).

import { loras, setLoras, shortName } from "./loras.js";
import "./many.js";
import "./refused.js";
import "./sheets.js";
import "./sliders.js";
import { sizeFromStart } from "./start.js";
import "./when.js";

const form = document.getElementById("new");
const KEY = "mobilesd.new";
const field = (id) => document.getElementById(id);
const edited = () => form.dispatchEvent(new Event("edited"));

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
  edited();
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
  edited();
});

// --- Seed, count ------------------------------------------------------------------------------
field("dice").addEventListener("click", () => {
  field("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
  edited();
});
field("any-seed").addEventListener("click", () => {
  field("seed").value = "";
  edited();
});
form.addEventListener("click", ({ target }) => {
  const step = target.closest("[data-count]");
  if (!step) return;
  const count = Number(field("count").value) || 1;
  field("count").value = Math.min(64, Math.max(1, count + Number(step.dataset.count)));
  edited();
});

// --- What was typed is kept -------------------------------------------------------------------
const NAMES = ["prompt", "negative", "checkpoint", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed", "count", "server", "denoising"];

function save() {
  const draft = Object.fromEntries(NAMES.map((name) => [name, form.elements[name].value]));
  draft.loras = loras();
  draft.alternatives = form.elements.alternatives.checked; // they belong to the prompt
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
  if (!fixed.has("prompt")) form.elements.alternatives.checked = Boolean(draft.alternatives);
  if (fixed.has("loras")) return;
  setLoras(draft.loras ?? []);
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
  changed();
});
form.addEventListener("edited", () => {
  showDetail();
  changed();
});

// What the preset says goes before what is remembered; the rest stays.
if (!form.hasAttribute("data-prefilled")) restore(new Set((form.dataset.fixed ?? "").split(" ")));
for (const slider of document.querySelectorAll("[data-moves]")) slider.value = field(slider.dataset.moves).value;
document.querySelectorAll("[data-grow]").forEach(grow);
if (!form.hasAttribute("data-prefilled")) sizeFromStart();
edited();

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
