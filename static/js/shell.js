// Small things that all pages have: the menu, questions before what can't be undone, times.

// --- Menus close when something else is touched -----------------------------------------------
document.addEventListener("click", ({ target }) => {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(target)) menu.open = false;
  }
});
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// --- Questions --------------------------------------------------------------------------------
const sheet = document.getElementById("confirm");

function ask({ confirm, confirmYes, confirmNo }) {
  sheet.querySelector("#confirm-text").textContent = confirm;
  sheet.querySelector("[value=yes]").textContent = confirmYes ?? "Yes";
  sheet.querySelector("[value=no]").textContent = confirmNo ?? "No";
  sheet.returnValue = "no";
  sheet.showModal();
  return new Promise((resolve) => {
    sheet.addEventListener("close", () => resolve(sheet.returnValue === "yes"), { once: true });
  });
}

// What else a form would take along, as its own view says when it is only asked.
async function whatElse(form, button) {
  const url = new URL(form.action);
  url.searchParams.set("dry_run", "1");
  try {
    const answer = await fetch(url, { method: "POST", body: new FormData(form, button) });
    return (await answer.json()).words ?? "";
  } catch {
    return ""; // the form itself will say what is wrong
  }
}

const asking = new WeakSet();

document.addEventListener("htmx:confirm", async (event) => {
  const form = event.detail.elt;
  const button = event.detail.triggeringEvent?.submitter;
  const asked = button?.hasAttribute("data-asks") ? button : form;
  const { asks, confirm } = asked.dataset;
  if (confirm === undefined && asks === undefined) return;
  event.preventDefault();
  if (asking.has(form)) return; // a second tap while it is still asked
  asking.add(form);
  const more = asks === undefined ? "" : await whatElse(form, button);
  const question = [confirm, more].filter(Boolean).join(" ");
  const yes = !question || (await ask({ ...asked.dataset, confirm: question }));
  asking.delete(form);
  if (yes) event.detail.issueRequest(true);
});

// A touch outside of a sheet closes it.
document.addEventListener("click", ({ target }) => {
  if (target instanceof HTMLDialogElement) target.close();
  target.closest?.("[data-close]")?.closest("dialog")?.close();
  const opener = target.closest?.("[data-open-sheet]");
  if (opener) document.getElementById(opener.dataset.openSheet).showModal();
});

// --- Plain forms are sent once ----------------------------------------------------------------
document.addEventListener("submit", ({ target }) => {
  if (!target.hasAttribute("data-busy")) return;
  for (const button of target.querySelectorAll("button:not([type=button])")) {
    setTimeout(() => { button.disabled = true; });
  }
});
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("form[data-busy] button:disabled")) {
    button.disabled = false;
  }
});

// --- "3 minutes ago" stays true ---------------------------------------------------------------
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

function tellTimes(root) {
  for (const element of root.querySelectorAll("time[data-ago]")) {
    const moment = new Date(element.dateTime);
    const passed = (Date.now() - moment) / 1000;
    const [unit, size] = UNITS.find(([, s]) => passed >= s) ?? [];
    element.textContent = unit ? words.format(-Math.round(passed / size), unit) : "just now";
    element.title = moment.toLocaleString();
  }
}
// A moment on the clock of this device; the server's words, which name their time zone, as a hint.
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "2-digit", month: "short" });
const NEAR = { "-1": " yesterday", 0: "", 1: " tomorrow" };

function daysFrom(moment) {
  const [then, today] = [new Date(moment), new Date()].map((day) => day.setHours(12, 0, 0, 0));
  return Math.round((then - today) / 86_400_000);
}

function tellMoments(root) {
  for (const element of root.querySelectorAll("time[data-when]")) {
    const moment = new Date(element.dateTime);
    element.title ||= element.textContent;
    element.textContent = clock.format(moment) + (NEAR[daysFrom(moment)] ?? ` on ${date.format(moment)}`);
  }
}
tellMoments(document);
document.addEventListener("htmx:afterSettle", ({ target }) => tellMoments(target));

tellTimes(document);
setInterval(() => tellTimes(document), 30_000);
document.addEventListener("htmx:afterSettle", ({ target }) => tellTimes(target));

// --- Copying: browsers hide the clipboard from pages without https ----------------------------
function copyByHand(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest?.("[data-copy]");
  if (!button) return;
  let done = false;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    done = true;
  } catch {
    done = copyByHand(button.dataset.copy);
  }
  const detail = done
    ? { text: "Copied." }
    : { text: "This browser does not let the page copy.", hint: "Select the text and copy it.", kind: "error" };
  document.dispatchEvent(new CustomEvent("toast", { detail }));
});
