// Beside the buttons: what MobileSD does not have, also while the list of jobs is closed.

(() => {
  const mobilesd = (window.mobilesd ??= {});
  const MILLISECONDS = 15_000;

  const notes = new Map(); // where the page answers a press → what stands behind it
  const last = { asked: -Infinity, presses: "", isAsking: false };

  function notesInSight(root, isSeen) {
    for (const [status, note] of notes) {
      if (status.isConnected && note.isConnected) continue;
      note.remove();
      notes.delete(status);
    }
    for (const status of root.querySelectorAll(".mobilesd-box [id^='mobilesd_'][id$='_status']")) {
      if (notes.has(status)) continue;
      // Told to a screen reader by the answer to the press, and no second time here.
      const note = mobilesd.make("p", "mobilesd-outbox", { hidden: true });
      notes.set(status, note);
      status.after(note);
    }
    return [...notes.keys()].some((status) => isSeen(status.parentElement));
  }

  function show({ waiting, refused }) {
    const parts = [waiting && `${waiting} in the outbox`, refused && `${refused} refused`];
    const text = parts.filter(Boolean).join(" · ");
    for (const note of notes.values()) {
      if (note.textContent !== text) note.textContent = text;
      note.hidden = !text;
    }
  }

  // Called each second. Asks seldom, and once after each press, when the page has its answer.
  mobilesd.outbox = async (root, { ask, isSeen }) => {
    const panel = root.querySelector(".mobilesd-jobs");
    if (!mobilesd.make || !panel || !notesInSight(root, isSeen) || last.isAsking) return;
    const answers = root.querySelectorAll(".mobilesd-status[data-press]");
    const presses = [...answers].map(({ dataset }) => dataset.press).join();
    if (presses === last.presses && performance.now() - last.asked < MILLISECONDS) return;
    Object.assign(last, { asked: performance.now(), presses, isAsking: true });
    try {
      const answer = await ask(panel.dataset.token, "held");
      if (answer.ok) show(await answer.json());
    } catch {
      // Forge is gone: the panel says so, and what was last known stays.
    } finally {
      last.isAsking = false;
    }
  };
})();
