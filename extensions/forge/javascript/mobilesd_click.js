"use strict";

// What a press of a "Queue" button sends along: one id for each gesture, and the choices of ×N,
// which this browser remembers.
(() => {
  const TOGETHER_MS = 1000;
  const gestures = new Map();

  // crypto.randomUUID is missing on pages that come without TLS, as Forge's mostly do.
  const newId = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
      byte.toString(16).padStart(2, "0"),
    ).join("");

  const gesture = (button) => {
    const now = performance.now();
    const last = gestures.get(button);
    if (last && now - last.begun < TOGETHER_MS) return;
    gestures.set(button, { id: newId(), begun: now, sent: null });
  };

  // At the click, and not only when Gradio asks for the inputs: that may be later.

  document.addEventListener(
    "click",
    (event) => {
      const button =
        event.target instanceof Element && event.target.closest("[id^='mobilesd_'][id*='_queue']");
      if (button) gesture(button.id);
    },
    true,
  );

  const isSame = (sent, before) =>
    sent.length === before.length &&
    sent.every(
      (value, place) =>
        place === 0 ||
        value === before[place] ||
        JSON.stringify(value) === JSON.stringify(before[place]),
    );

  // Clicks within a second count as one, so that a double click makes one job; unless something
  // on the page was changed between them.
  window.mobilesdClickId = (button, inputs) => {
    gesture(button);
    const { sent } = gestures.get(button);
    if (sent && !isSame(inputs, sent)) {
      gestures.delete(button);
      gesture(button);
    }
    gestures.get(button).sent = inputs;
    return gestures.get(button).id;
  };

  window.mobilesdQueueInputs = (button, inputs) => {
    const [, ...values] = inputs; // first there stands what Generate uses as the id of its task
    return [window.mobilesdClickId(button, inputs), ...values];
  };

  const keyOf = (tab) => `mobilesd_many_${tab}`;

  window.mobilesdKeep = (tab, values) => {
    try {
      localStorage.setItem(keyOf(tab), JSON.stringify(values.slice(0, 2)));
    } catch {
      // A browser that stores nothing forgets them.
    }
    return [];
  };

  window.mobilesdKept = (tab, values) => {
    const shown = values.slice(0, 2);
    try {
      const [count, seeds] = JSON.parse(localStorage.getItem(keyOf(tab))) ?? shown;
      const known = ["incremental", "random", "fixed"];
      return [Number.isInteger(count) ? count : shown[0], known.includes(seeds) ? seeds : shown[1]];
    } catch {
      return shown;
    }
  };
})();
