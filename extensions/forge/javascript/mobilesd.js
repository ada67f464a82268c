// Keeps the panels `.mobilesd-jobs` up to date: asks Forge's own server, and only while somebody
// looks. It has the key and speaks with MobileSD; this page never sees the key.

(() => {
  const SECONDS = 1;
  const SECONDS_AFTER_A_FAULT = 5;
  const PATIENCE_SECONDS = 10;
  const PATIENCE_WITH_MOBILESD_SECONDS = 60; // Forge's server has time-outs of its own
  const mobilesd = (window.mobilesd ??= {});

  // Relative, as Forge's own requests are: it may live below a path.
  const address = (path) => `./mobilesd/page/${path}`;

  class Told extends Error {} // what Forge's server says, for people

  async function ask(token, path, options = {}, seconds = PATIENCE_SECONDS) {
    return fetch(address(path), {
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(seconds * 1000),
      ...options,
      headers: { "X-MobileSD-Page": token, ...options.headers },
    });
  }

  // Ask for a change; return what to say of it, as {ok, text, …}.
  async function change(token, path, said = {}) {
    try {
      const post = {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(said),
      };
      const answer = await ask(token, path, post, PATIENCE_WITH_MOBILESD_SECONDS);
      return { text: "", ...(await answer.json()), ok: answer.ok };
    } catch {
      return { ok: false, text: "Forge does not answer." };
    }
  }

  const root = () => window.gradioApp?.() ?? document;
  const isSeen = (element) =>
    document.visibilityState === "visible" && (element.checkVisibility?.() ?? element.offsetParent !== null);

  const panels = new Map(); // element → what draws it
  let known = { mark: "", state: null };

  function panelsInSight() {
    if (!mobilesd.panel || !mobilesd.look) return []; // the other files are not there yet
    for (const element of panels.keys()) if (!element.isConnected) panels.delete(element);
    for (const element of root().querySelectorAll(".mobilesd-jobs")) {
      if (!panels.has(element)) panels.set(element, mobilesd.panel(element, actions(element)));
    }
    return [...panels].filter(([element]) => isSeen(element)).map(([, panel]) => panel);
  }

  async function look() {
    const seen = panelsInSight();
    mobilesd.settings?.(root(), { ask, change });
    mobilesd.outbox?.(root(), { ask, isSeen });
    if (!seen.length) return SECONDS;
    const [first] = panels.keys();
    try {
      const answer = await ask(first.dataset.token, "state", {
        headers: known.mark ? { "If-None-Match": known.mark } : {},
      });
      if (answer.status === 200) {
        known = { mark: answer.headers.get("ETag") ?? "", state: await answer.json() };
      } else if (answer.status !== 304) {
        const { text } = await answer.json();
        throw new Told(text);
      }
    } catch (error) {
      // What the browser itself says of a lost connection is not for people.
      const text = error instanceof Told ? error.message : "";
      for (const panel of seen) panel.lost(text || "Forge does not answer. Is it still running?");
      known.mark = "";
      return SECONDS_AFTER_A_FAULT;
    }
    for (const panel of seen) panel.show(known.state);
    return SECONDS;
  }

  let timer = 0;
  async function round() {
    clearTimeout(timer);
    const seconds = await look().catch(() => SECONDS_AFTER_A_FAULT);
    clearTimeout(timer);
    timer = setTimeout(round, seconds * 1000);
  }
  document.addEventListener("visibilitychange", round);
  document.addEventListener("DOMContentLoaded", round);
  if (document.readyState !== "loading") round();

  // --- What the buttons do ---------------------------------------------------------------------

  function actions(element) {
    const { token, tab } = element.dataset;
    const then = (done) => {
      round();
      return done;
    };
    return {
      cancel: (job) => change(token, "cancel", { job }).then(then),
      retry: (job) => change(token, "retry", { job }).then(then),
      again: (name) => change(token, "outbox/again", { name }).then(then),
      drop: (name) => change(token, "outbox/drop", { name }).then(then),
      canSendBack: () => pasteOf(tab) !== null,
      sendBack: (job) => sendBack(token, tab, job),
      picture: (job, number) => picture(token, job, number),
    };
  }

  // Forge's own way from an infotext to its fields, which host_page.py has connected.
  function pasteOf(tab) {
    const text = root().querySelector(`#mobilesd_paste_${tab} :is(textarea, input)`);
    const button = root().querySelector(`#mobilesd_paste_${tab}_button`);
    return text && button ? { text, button } : null;
  }

  const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

  async function sendBack(token, tab, job) {
    const place = pasteOf(tab);
    if (!place) return { ok: false, text: "This Forge has no way to fill its page from a job." };
    try {
      const answer = await ask(token, `infotext/${encodeURIComponent(job)}`);
      const said = await answer.json();
      if (!answer.ok) return { ok: false, text: said.text };
      place.text.value = said.infotext;
      place.text.dispatchEvent(new Event("input", { bubbles: true }));
      // Gradio takes over what was typed with its next drawing, and sends what it took over.
      await nextFrame();
      await nextFrame();
      place.button.click();
      return { ok: true, text: `The settings of this job are on the page ${tab}.` };
    } catch {
      return { ok: false, text: "Forge does not answer." };
    }
  }

  // --- Pictures --------------------------------------------------------------------------------

  // An <img> sends no header, and the token has no place in an address. Two at a time: a browser
  // opens six connections to Forge, and Generate needs one.
  const AT_ONCE = 2;
  const MOST_KEPT = 200;
  const pictures = new Map();
  const waiting = [];
  let loading = 0;

  function picture(token, job, number) {
    const name = `${job}/${number}`;
    if (!pictures.has(name)) {
      pictures.set(name, new Promise((resolve) => waiting.push({ token, name, resolve })));
      if (pictures.size > MOST_KEPT) forget(pictures.keys().next().value);
      load();
    }
    return pictures.get(name);
  }

  function forget(name) {
    pictures.get(name).then((url) => url && URL.revokeObjectURL(url));
    pictures.delete(name);
  }

  async function load() {
    if (loading >= AT_ONCE || !waiting.length) return;
    loading += 1;
    const { token, name, resolve } = waiting.shift();
    try {
      const [job, number] = name.split("/");
      const path = `thumbnail/${encodeURIComponent(job)}/${number}`;
      const answer = await ask(token, path, { cache: "default" }, PATIENCE_WITH_MOBILESD_SECONDS);
      if (!answer.ok) throw new Error();
      resolve(URL.createObjectURL(await answer.blob()));
    } catch {
      pictures.delete(name); // asked for again when the panel is drawn anew
      resolve("");
    }
    loading -= 1;
    load();
  }
})();
