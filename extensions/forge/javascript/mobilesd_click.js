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

  // The id must be that of the click: by the time that Gradio asks for the inputs, a second click
  // may have come.
  const gesture = (button) => {
    const now = performance.now();
    const last = gestures.get(button);
    if (last && now - last.begun < TOGETHER_MS) return last.id;
    const id = newId();
    gestures.set(button, { id, begun: now });
    return id;
  };

  document.addEventListener(
    "click",
    (event) => {
      const button = event.target instanceof Element && event.target.closest("[id^='mobilesd_'][id*='_queue']");
      if (button) gesture(button.id);
    },
    true,
  );

  // Clicks within a second count as one, so that a double click makes one job.
  window.mobilesdClickId = (button) => gestures.get(button)?.id ?? gesture(button);

  window.mobilesdQueueInputs = (button, inputs) => {
    const sent = Array.from(inputs);
    sent[0] = window.mobilesdClickId(button); // where Generate has the id of its task
    return sent;
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
