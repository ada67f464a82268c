// The parts of the settings section that are no options of Forge's: the key, which Forge would
// show to anybody at /internal/sysinfo, and the test of the connection.

(() => {
  const mobilesd = (window.mobilesd ??= {});
  const drawn = new WeakSet();

  function frame(element, ...parts) {
    element.classList.add("mobilesd-ready");
    element.replaceChildren(mobilesd.look(), ...parts);
  }

  async function drawKey(element, { ask, change }) {
    const { make } = mobilesd;
    const { token } = element.dataset;
    const form = make("form", "mobilesd-form", { autocomplete: "off" });
    const name = "mobilesd-key-text";
    const label = make("label", "", { textContent: "API key of MobileSD", htmlFor: name });
    const input = make("input", "mobilesd-input", {
      id: name,
      type: "password",
      autocomplete: "new-password",
      spellcheck: false,
      placeholder: "Paste a key here",
    });
    const store = make("button", "mobilesd-button", { type: "submit", textContent: "Store" });
    const forget = make("button", "mobilesd-button", {
      type: "button",
      textContent: "Forget",
      hidden: true,
    });
    const stands = make("div", "mobilesd-note");
    const said = make("div", "mobilesd-said", { role: "status" });
    form.append(label, input, store, forget);
    frame(element, form, stands, said);

    const show = ({ stored, prefix, address }) => {
      stands.textContent = stored
        ? `The key ${prefix}… is stored, for ${address}. It is not shown again.`
        : "No key is stored. Make one on MobileSD's page Keys.";
      store.textContent = stored ? "Replace" : "Store";
      forget.hidden = !stored;
    };
    const done = (answer) => {
      said.textContent = answer.text;
      said.classList.toggle("mobilesd-bad", !answer.ok);
      if (answer.ok) show(answer);
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const answer = await change(token, "key", { key: input.value });
      if (answer.ok) input.value = "";
      done(answer);
    });
    forget.addEventListener("click", async () => done(await change(token, "key/forget")));
    try {
      const answer = await ask(token, "key");
      const found = await answer.json();
      if (answer.ok) show(found);
      else said.textContent = found.text;
    } catch {
      said.textContent = "Forge does not answer.";
    }
  }

  function drawTest(element, { change }) {
    const { make } = mobilesd;
    const form = make("div", "mobilesd-form");
    const button = make("button", "mobilesd-button", {
      type: "button",
      textContent: "Test connection",
    });
    const said = make("div", "mobilesd-said", { role: "status" });
    form.append(button);
    frame(element, form, said);
    button.addEventListener("click", async () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      button.setAttribute("aria-disabled", "true");
      said.textContent = "Asking MobileSD…";
      said.classList.remove("mobilesd-bad");
      const { ok, text } = await change(element.dataset.token, "test");
      said.textContent = text;
      said.classList.toggle("mobilesd-bad", !ok);
      button.removeAttribute("aria-disabled");
    });
  }

  mobilesd.settings = (root, tools) => {
    for (const [selector, draw] of [
      [".mobilesd-key", drawKey],
      [".mobilesd-test", drawTest],
    ]) {
      for (const element of root.querySelectorAll(selector)) {
        if (drawn.has(element)) continue;
        drawn.add(element);
        draw(element, tools);
      }
    }
  };
})();
