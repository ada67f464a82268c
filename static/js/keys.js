// The screen that shows a secret once: reloading must not make another, and it can be copied.

const shown = document.getElementById("shown-once");

// A reload would send the form again, and going back would find this page: show the key's own
// page instead.
if (shown) history.replaceState(null, "", shown.dataset.instead);

const said = document.getElementById("copy-said");

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    // Without https there is no clipboard; some browsers still copy what is selected.
    select(element);
    return document.execCommand("copy");
  }
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest?.("[data-copy-from]");
  if (!button) return;
  const element = document.getElementById(button.dataset.copyFrom);
  if (await copy(element)) {
    said.textContent = "Copied. Paste it into the program that shall use it.";
    return;
  }
  element.focus();
  select(element);
  said.textContent = window.isSecureContext
    ? "The browser does not let this page copy. It is selected: use your device's own “Copy”."
    : "This page came without https, so the browser does not let it copy. It is selected: use your device's own “Copy”.";
});
