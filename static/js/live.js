// The live events: one socket a page, which comes back by itself and goes on where it was.
//
// Durable events make the elements that name their kind in data-live read themselves again;
// `job.progress` and `job.preview` are passed on as "mobilesd:<kind>" (progress.js). After a
// reset, and after each way back, everything is read again, so that the page shows the true state.

const BACK_OFF = [500, 1000, 2000, 4000, 8000, 15000];
const SETTLE = 150; // events come in bursts: one reading for all of them
const TRY_AGAIN = 3000;
const WATCH_EVERY = 6000;
const SILENCE = 2500; // a reconnect this quick needs no banner
const SIGNED_OUT = 4401;

const banner = document.getElementById("connection");
let { liveAfter: after, liveEpoch: epoch } = document.body.dataset;
let socket = null;
let failures = 0;
let retry = 0;
let complain = 0;
let wasOpen = false;
let newest = 0;
const due = new Map();

function say(text) {
  banner.textContent = text;
  if (!text) {
    clearTimeout(complain);
    complain = 0;
    banner.hidden = true;
  } else if (!complain) {
    complain = setTimeout(() => { banner.hidden = false; }, SILENCE);
  }
}

function refresh(element, wait = SETTLE) {
  if (due.has(element)) return;
  due.set(element, setTimeout(() => {
    due.delete(element);
    if (element.isConnected) window.htmx.trigger(element, "refresh");
  }, wait));
}

// What could not be read again must not stay as it is. Without a connection there is nothing to
// do: the way back reads everything. What is gone (a job deleted elsewhere) is left for the queue.
function readAgain({ target, detail }) {
  if (!target.matches?.("[data-live]") || !socket) return;
  if (detail.xhr?.status === 404) location.assign("/");
  else refresh(target, TRY_AGAIN);
}

function concerns(element, kind, job) {
  const { live, liveJob } = element.dataset;
  return live.split(" ").includes(kind) && (!liveJob || !job || liveJob === job);
}

function refreshFor(kind, job) {
  for (const element of document.querySelectorAll("[data-live]")) {
    if (!kind || concerns(element, kind, job)) refresh(element);
  }
}

// What changes without an event of its own (places, expected times) is read again after a while.
const again = new WeakSet();
function readLater() {
  for (const mark of document.querySelectorAll("[data-again]")) {
    if (again.has(mark)) continue;
    again.add(mark);
    setTimeout(() => {
      const part = mark.isConnected && mark.closest("[data-live]");
      if (!part) return;
      if (socket && document.visibilityState === "visible") refresh(part, 0);
      else again.delete(mark); // the way back reads everything anew
    }, Number(mark.dataset.again));
  }
}

function receive(message) {
  if (message.type === "hello") {
    if (after === undefined) after = message.last_event_id;
    epoch = message.epoch;
    newest = message.last_event_id;
    failures = 0;
    say("");
    if (wasOpen) refreshFor("reconnect");
    wasOpen = true;
    watch();
  } else if (message.type === "reset") {
    after = newest;
    refreshFor("");
  } else if (message.id === undefined) {
    document.dispatchEvent(new CustomEvent(`mobilesd:${message.type}`, { detail: message }));
  } else {
    after = message.id;
    document.dispatchEvent(new CustomEvent(`mobilesd:${message.type}`, { detail: message }));
    refreshFor(message.type, message.job);
  }
}

function connect() {
  clearTimeout(retry);
  if (socket && socket.readyState <= WebSocket.OPEN) return;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const query = new URLSearchParams();
  if (after !== undefined) query.set("after", after);
  if (epoch) query.set("epoch", epoch);
  const opened = new WebSocket(`${scheme}://${location.host}/ws/events/?${query}`);
  socket = opened;
  opened.addEventListener("message", (event) => {
    if (opened === socket) receive(JSON.parse(event.data));
  });
  opened.addEventListener("close", (event) => {
    if (opened !== socket) return;
    socket = null;
    if (event.code === SIGNED_OUT) {
      const next = encodeURIComponent(location.pathname + location.search);
      location.assign(`${document.body.dataset.signIn}?next=${next}`);
      return;
    }
    say(navigator.onLine ? "Connecting again…" : "You are offline.");
    if (document.visibilityState === "visible") {
      retry = setTimeout(connect, BACK_OFF[Math.min(failures, BACK_OFF.length - 1)]);
    }
    failures += 1;
  });
}

function leave() {
  const open = socket;
  socket = null; // its close event has no say any more
  clearTimeout(retry);
  open?.close();
}

// A phone that slept may hold a socket that is dead and does not know it: a new one is certain.
let hiddenAt = 0;
function look() {
  if (document.visibilityState !== "visible") {
    hiddenAt = Date.now();
    return;
  }
  failures = 0;
  if (hiddenAt && Date.now() - hiddenAt > 15000) leave();
  hiddenAt = 0;
  connect();
  watch();
}

// Previews cost GPU time, so the server makes them only for what somebody looks at.
function watch() {
  if (socket?.readyState !== WebSocket.OPEN || document.visibilityState !== "visible") return;
  for (const element of document.querySelectorAll("[data-watch]")) {
    socket.send(JSON.stringify({ type: "watch", job: element.dataset.watch }));
  }
}

if (after !== undefined) {
  connect();
  setInterval(watch, WATCH_EVERY);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("online", () => { failures = 0; connect(); });
  window.addEventListener("offline", () => say("You are offline."));
  window.addEventListener("pagehide", leave); // an open socket would keep the page out of the cache
  window.addEventListener("pageshow", (event) => { if (event.persisted) look(); });
  document.addEventListener("htmx:afterSettle", watch);
  document.addEventListener("htmx:afterSettle", readLater);
  readLater();
  for (const trouble of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
    document.addEventListener(trouble, readAgain);
  }
  document.addEventListener("changed", () => refreshFor("")); // HX-Trigger of a form's answer
}
