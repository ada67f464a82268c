// Moving entries of the waiting list: by touch (long press on the handle), mouse and keyboard.
//
// The list may be read again at any moment of a drag. So nothing but keys is kept: what is moved,
// and before which entry it would go. Where that is on the screen is looked up each time.

import { say } from "./says.js";

const LONG_PRESS = 220;
const TOUCH_SLOP = 10;
const MOUSE_SLOP = 4;
const EDGE = 110; // so near to an end of the screen it scrolls
const FASTEST = 16;

const area = document.querySelector(".queue-now");
const line = document.createElement("div");
line.className = "drop-line";
line.hidden = true;
area.append(line);

let drag = null; // { keys, by, anchor, slot, ghost, x, y }
let press = null; // a pointer that may become a drag
let sending = false;

const list = () => document.getElementById("waiting");
const entries = () => [...(list()?.children ?? [])].filter((row) => row.dataset.entry);
const moved = (row) => drag.keys.includes(row.dataset.entry);
const others = () => entries().filter((row) => !moved(row));
const byKey = (key) => document.querySelector(`#waiting > [data-entry="${CSS.escape(key)}"]`);

function keysOf(row) {
  const picked = entries().filter((entry) => entry.querySelector(".pick input")?.checked);
  const many = document.getElementById("queue").classList.contains("selecting") && picked.includes(row);
  return (many ? picked : [row]).map((entry) => entry.dataset.entry);
}

function title() {
  const name = byKey(drag.keys[0])?.dataset.name ?? "";
  return drag.keys.length > 1 ? `${drag.keys.length} entries` : name;
}

// --- A drag from its beginning to its end -------------------------------------------------------
function begin(row, by) {
  drag = { keys: keysOf(row), by, anchor: null, slot: 0, ghost: null, x: 0, y: 0 };
  drag.slot = others().filter((other) => other.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING).length;
  drag.first = drag.slot;
  mark();
  anchorTo(drag.slot);
  document.body.classList.add("dragging");
}

function mark() {
  for (const row of entries()) {
    row.classList.toggle("moved", moved(row));
    row.toggleAttribute("data-hold", moved(row)); // keyed.js leaves it as it is
    row.querySelector("[data-grab]").toggleAttribute("aria-pressed", false);
    if (moved(row) && drag.by === "keyboard") row.querySelector("[data-grab]").setAttribute("aria-pressed", "true");
  }
}

function anchorTo(slot) {
  const rows = others();
  drag.slot = Math.max(0, Math.min(slot, rows.length));
  drag.anchor = rows[drag.slot]?.dataset.entry ?? null;
  if (!rows.length) {
    line.hidden = true;
    return;
  }
  const beside = rows[drag.slot] ?? rows.at(-1);
  const box = beside.getBoundingClientRect();
  const y = drag.anchor ? box.top - 5 : box.bottom + 2;
  line.style.top = `${y - area.getBoundingClientRect().top}px`;
  line.hidden = false;
}

function end() {
  line.hidden = true;
  drag?.ghost?.remove();
  drag = null;
  press = null;
  document.body.classList.remove("dragging");
  for (const row of document.querySelectorAll("#waiting > .moved, #waiting > [data-hold]")) {
    row.classList.remove("moved");
    row.removeAttribute("data-hold");
    row.querySelector("[data-grab]").removeAttribute("aria-pressed");
  }
}

function leave(words = "Left where it was.") {
  end();
  say(words);
  window.htmx.trigger("#active", "refresh"); // a held row may be out of date
}

function drop() {
  const rows = others();
  const { keys, anchor, slot, first } = drag;
  const contiguous = keys.length === 1 && slot === first;
  if (contiguous || !rows.length) {
    leave();
    return;
  }
  const values = anchor ? { pick: keys, before: anchor } : { pick: keys, after: rows.at(-1).dataset.entry };
  const before = entries();
  const beside = anchor ? byKey(anchor) : null;
  const focused = document.activeElement;
  for (const key of keys) list().insertBefore(byKey(key), beside);
  if (focused?.isConnected) focused.focus({ preventScroll: true });
  const words = `Put down at place ${slot + 1} of ${before.length}.`;
  end();
  send(values, before, words);
}

async function send(values, before, words) {
  sending = true;
  let done = false;
  const answered = ({ detail }) => { done ||= detail.successful; };
  document.body.addEventListener("htmx:afterRequest", answered);
  try {
    await window.htmx.ajax("POST", document.getElementById("many").dataset.move, { values, swap: "none" });
  } catch { /* the toast says it (toast.js) */ }
  document.body.removeEventListener("htmx:afterRequest", answered);
  sending = false;
  if (done) say(words);
  else list()?.append(...before.filter((row) => row.parentElement === list()));
  window.htmx.trigger("#active", "refresh");
}

// An answer made before the move would show the old order for a moment.
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (sending && detail.target.id === "active") detail.shouldSwap = false;
});

document.addEventListener("htmx:afterSwap", ({ detail }) => {
  prepare();
  if (!drag || detail.target.id !== "active") return;
  const left = drag.keys.filter((key) => byKey(key));
  if (!left.length) {
    leave("It does not wait any more.");
    return;
  }
  drag.keys = left;
  mark();
  if (drag.by === "keyboard") {
    const rows = others();
    const at = rows.findIndex((row) => row.dataset.entry === drag.anchor);
    anchorTo(at >= 0 ? at : drag.anchor === null ? rows.length : drag.slot);
  } else {
    follow();
  }
});

// --- Touch and mouse ------------------------------------------------------------------------------
function follow() {
  drag.ghost.style.transform = `translate(${Math.max(8, drag.x - 24)}px, ${drag.y - 26}px)`;
  const rows = others();
  const at = rows.findIndex((row) => {
    const box = row.getBoundingClientRect();
    return drag.y < box.top + box.height / 2;
  });
  anchorTo(at < 0 ? rows.length : at);
}

function scrollAtEdges() {
  if (!drag?.ghost) return;
  const under = Math.max(0, EDGE - drag.y) || -Math.max(0, drag.y - (innerHeight - EDGE));
  if (under) {
    scrollBy(0, -Math.sign(under) * Math.min(FASTEST, 1 + Math.abs(under) / 7));
    follow();
  }
  requestAnimationFrame(scrollAtEdges);
}

function lift() {
  const row = byKey(press.key);
  if (!row) return;
  const { x, y, type } = press;
  begin(row, type);
  drag.ghost = document.createElement("div");
  drag.ghost.className = "ghost";
  drag.ghost.textContent = title();
  document.body.append(drag.ghost);
  Object.assign(drag, { x, y });
  follow();
  navigator.vibrate?.(12);
  requestAnimationFrame(scrollAtEdges);
}

function pressed(event) {
  if (event.button !== 0 || !event.isPrimary || drag) return;
  const row = event.currentTarget.closest("[data-entry]");
  press = { id: event.pointerId, key: row.dataset.entry, type: event.pointerType, x: event.clientX, y: event.clientY };
  if (press.type === "touch") press.timer = setTimeout(lift, LONG_PRESS);
}

document.addEventListener("pointermove", (event) => {
  if (!press || event.pointerId !== press.id) return;
  if (drag) {
    Object.assign(drag, { x: event.clientX, y: event.clientY });
    follow();
    return;
  }
  const far = Math.hypot(event.clientX - press.x, event.clientY - press.y);
  if (press.type === "touch") {
    if (far > TOUCH_SLOP) release(); // the page is being scrolled
  } else if (far > MOUSE_SLOP) {
    Object.assign(press, { x: event.clientX, y: event.clientY });
    lift();
  }
});

function release() {
  clearTimeout(press?.timer);
  press = null;
}

document.addEventListener("pointerup", (event) => {
  if (event.pointerId !== press?.id) return;
  release();
  if (!drag?.ghost) return;
  swallowClick();
  drop();
});
document.addEventListener("pointercancel", (event) => {
  if (event.pointerId !== press?.id) return;
  release();
  if (drag?.ghost) leave();
});
window.addEventListener("blur", () => {
  release();
  if (drag?.ghost) leave();
});

// The click that follows a drag is not meant for what lies under the pointer.
function swallowClick() {
  const swallow = (event) => { event.preventDefault(); event.stopPropagation(); };
  document.addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => document.removeEventListener("click", swallow, { capture: true }), 50);
}

// --- Keyboard ---------------------------------------------------------------------------------------
const STEPS = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

function tellSlot() {
  const before = drag.anchor && byKey(drag.anchor)?.dataset.name;
  const where = before ? `before ${before}` : "at the end of what is shown";
  say(`Place ${drag.slot + 1} of ${entries().length - drag.keys.length + 1}, ${where}.`);
}

function typed(event) {
  const { key } = event;
  if (!drag) {
    if (key !== " " && key !== "Enter") return;
    event.preventDefault();
    begin(event.currentTarget.closest("[data-entry]"), "keyboard");
    say(`${title()} picked up, place ${drag.slot + 1} of ${entries().length}.`);
  } else if (drag.by !== "keyboard") {
    return;
  } else if (key === " " || key === "Enter") {
    event.preventDefault();
    drop();
  } else if (key in STEPS) {
    event.preventDefault();
    anchorTo(drag.slot + STEPS[key]);
    line.scrollIntoView({ block: "nearest" });
    tellSlot();
  } else if (key === "Tab") {
    leave();
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !drag) return;
  event.preventDefault();
  release();
  leave();
});

// --- Handles ------------------------------------------------------------------------------------------
const ready = new WeakSet();

// A tap, also that of a screen reader, shows what else moves the entry.
function tapped({ currentTarget, detail }) {
  if (!drag && detail >= 0) currentTarget.closest("[data-entry]").querySelector("[data-menu-link]")?.click();
}

// On the handles alone, so that nothing else has to wait for a script before it scrolls; on each
// one itself, because it goes on to get them when the list was read again and it is gone.
function prepare() {
  for (const handle of document.querySelectorAll("#waiting [data-grab]")) {
    if (ready.has(handle)) continue;
    ready.add(handle);
    handle.addEventListener("pointerdown", pressed);
    handle.addEventListener("keydown", typed);
    handle.addEventListener("keyup", (event) => { if (event.key === " ") event.preventDefault(); });
    handle.addEventListener("click", tapped);
    handle.addEventListener("contextmenu", (event) => { if (press || drag) event.preventDefault(); });
    handle.addEventListener("touchmove", (event) => { if (drag) event.preventDefault(); }, { passive: false });
  }
}
prepare();
