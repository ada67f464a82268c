// Draws one panel. Rows are kept and changed in place, so that focus and scrolling stay. Texts of
// others (prompts, servers' names) go into textContent only.

(() => {
  const mobilesd = (window.mobilesd ??= {});
  const REALLY_SECONDS = 5;
  const STATES = {
    pending: "Waiting",
    processing: "Running",
    completed: "Done",
    failed: "Failed",
    cancelled: "Cancelled",
    waiting: "In the outbox",
    sending: "Being sent",
    refused: "Refused",
  };

  mobilesd.make = (tag, className, properties = {}) =>
    Object.assign(document.createElement(tag), { className, ...properties });
  const { make } = mobilesd;

  function duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    const minutes = Math.round(whole / 60);
    if (minutes < 60) return `${minutes} min`;
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  }

  function clock(text) {
    const moment = new Date(text);
    if (Number.isNaN(moment.getTime())) return "";
    const time = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const isToday = moment.toDateString() === new Date().toDateString();
    return isToday ? time : `${moment.toLocaleDateString()} ${time}`;
  }

  const joined = (...parts) => parts.filter(Boolean).join(" · ");

  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
    element.hidden = !text;
  }

  // What a row shows, from an entry of the outbox or a job.
  function rowOfEntry(entry, doing) {
    const refused = entry.state === "refused";
    return {
      key: `outbox ${entry.name}`,
      state: entry.state,
      title: entry.prompt || "Without a prompt",
      note: joined(
        entry.count > 1 && `${entry.count} jobs`,
        `clicked ${clock(entry.created * 1000)}`,
        entry.state === "waiting" && "sent as soon as MobileSD takes it",
      ),
      error: entry.why,
      buttons: [
        refused && { label: "Send again", act: () => doing.again(entry.name) },
        entry.state !== "sending" && {
          label: "Drop",
          sure: "Drop it for good",
          act: () => doing.drop(entry.name),
        },
      ],
    };
  }

  function rowOfJob(job, address, doing) {
    const notes = {
      pending: () =>
        joined(
          job.position && `place ${job.position}`,
          job.starts && `starts about ${clock(job.starts)}`,
          job.waiting,
        ),
      processing: () =>
        joined(
          `${Math.round(job.progress * 100)} %`,
          job.eta !== null && `${duration(job.eta)} left`,
          job.step,
          job.server,
        ),
      completed: () =>
        joined(job.pictures > 1 && `${job.pictures} pictures`, clock(job.created), job.server),
      failed: () => clock(job.created),
      cancelled: () => clock(job.created),
    };
    return {
      key: `job ${job.id}`,
      state: job.status,
      title: job.prompt || "Without a prompt",
      note: notes[job.status](),
      error: [job.error, job.hint].filter(Boolean).join(" "),
      hint: job.status === "pending" ? job.waiting_action : job.warnings.join(" "),
      progress: job.status === "processing" ? job.progress : null,
      picture: job.pictures ? () => doing.picture(job.id, 0) : null,
      link: address && `${address}/jobs/${encodeURIComponent(job.id)}`,
      buttons: [
        job.can_cancel && { label: "Cancel", act: () => doing.cancel(job.id) },
        job.can_retry && { label: "Retry", act: () => doing.retry(job.id) },
        job.can_send_back &&
          doing.canSendBack() && { label: "Send to the page", act: () => doing.sendBack(job.id) },
      ],
    };
  }

  class Row {
    constructor(say) {
      this.say = say;
      this.element = make("li", "mobilesd-job");
      this.image = make("img", "mobilesd-thumb", { alt: "", hidden: true, decoding: "async" });
      const body = make("div", "mobilesd-body");
      const line = make("div", "mobilesd-line");
      this.state = make("span", "mobilesd-state");
      this.title = make("span", "mobilesd-title");
      this.title.dir = "auto";
      this.bar = make("progress", "mobilesd-bar", { max: 1, hidden: true });
      this.note = make("div", "mobilesd-note");
      this.error = make("div", "mobilesd-error");
      this.hint = make("div", "mobilesd-note");
      this.buttons = make("div", "mobilesd-buttons");
      this.link = make("a", "mobilesd-link", {
        textContent: "Open in MobileSD",
        target: "_blank",
        rel: "noopener noreferrer",
      });
      line.append(this.state, this.title);
      body.append(line, this.bar, this.note, this.error, this.hint, this.buttons);
      this.element.append(this.image, body);
      this.made = new Map(); // label → button
    }

    show(row) {
      this.element.dataset.state = row.state;
      write(this.state, STATES[row.state] ?? row.state);
      write(this.title, row.title);
      this.title.title = row.title;
      write(this.note, row.note);
      write(this.error, row.error ?? "");
      write(this.hint, row.hint ?? "");
      this.bar.hidden = row.progress === null || row.progress === undefined;
      if (!this.bar.hidden) {
        this.bar.value = row.progress;
        this.bar.setAttribute("aria-label", `Progress of ${row.title}`);
      }
      this.showPicture(row);
      this.showButtons(row);
    }

    async showPicture(row) {
      if (!row.picture) {
        this.image.hidden = true;
        this.hasPicture = false;
        return;
      }
      if (this.hasPicture) return;
      this.hasPicture = true;
      this.image.alt = `Picture of: ${row.title}`;
      const url = await row.picture();
      this.hasPicture &&= Boolean(url);
      if (this.hasPicture) this.image.src = url;
      this.image.hidden = !this.hasPicture;
    }

    showButtons(row) {
      const wanted = row.buttons.filter(Boolean);
      const labels = new Set(wanted.map(({ label }) => label));
      for (const [label, button] of this.made) {
        if (labels.has(label)) continue;
        button.remove();
        this.made.delete(label);
      }
      for (const one of wanted) {
        let button = this.made.get(one.label);
        if (!button) {
          button = make("button", "mobilesd-button", { type: "button", textContent: one.label });
          button.addEventListener("click", () => this.press(button));
          this.made.set(one.label, button);
          this.buttons.append(button);
        }
        button.one = one;
        if (!button.dataset.sure) button.setAttribute("aria-label", `${one.label}: ${row.title}`);
      }
      if (row.link) {
        this.link.href = row.link;
        this.link.setAttribute("aria-label", `Open in MobileSD: ${row.title}`);
        if (this.buttons.lastElementChild !== this.link) this.buttons.append(this.link);
      } else {
        this.link.remove();
      }
    }

    async press(button) {
      const { label, sure, act } = button.one;
      if (button.getAttribute("aria-disabled") === "true") return;
      if (sure && !button.dataset.sure) {
        button.dataset.sure = "1";
        button.textContent = sure;
        button.setAttribute("aria-label", sure);
        setTimeout(() => this.calm(button, label), REALLY_SECONDS * 1000);
        return;
      }
      // Not `disabled`, which would take the focus away from whoever pressed it.
      button.setAttribute("aria-disabled", "true");
      const { ok, text } = await act();
      button.removeAttribute("aria-disabled");
      this.calm(button, label);
      this.say(text, !ok);
    }

    calm(button, label) {
      delete button.dataset.sure;
      button.textContent = label;
    }
  }

  class Panel {
    constructor(element, doing) {
      this.doing = doing;
      this.rows = new Map();
      this.states = null;
      this.fault = make("div", "mobilesd-fault", { role: "status", hidden: true });
      this.said = make("div", "mobilesd-said", { role: "status" });
      this.head = make("div", "mobilesd-head");
      this.count = make("span", "mobilesd-note", { textContent: "…" });
      this.page = make("a", "mobilesd-link", {
        textContent: "Open MobileSD",
        target: "_blank",
        rel: "noopener noreferrer",
        hidden: true,
      });
      this.list = make("ul", "mobilesd-list", { ariaLabel: "Jobs of this Forge in MobileSD" });
      this.list.setAttribute("role", "list"); // Safari forgets it where the marks are taken away
      this.head.append(this.count, this.page);
      element.classList.add("mobilesd-ready");
      element.replaceChildren(mobilesd.look(), this.fault, this.said, this.head, this.list);
    }

    say(text, bad) {
      this.said.classList.toggle("mobilesd-bad", Boolean(bad));
      this.said.textContent = text;
    }

    lost(text) {
      write(this.fault, text);
    }

    show(state) {
      const damaged =
        state.damaged &&
        `${state.damaged} submission${state.damaged > 1 ? "s" : ""} can't be read any more:` +
          ` see ${state.damaged_folder}.`;
      write(this.fault, [state.fault, damaged].filter(Boolean).join(" "));
      this.page.hidden = !state.address;
      if (state.address) this.page.href = state.address;
      const rows = [
        ...state.outbox.map((entry) => rowOfEntry(entry, this.doing)),
        ...state.jobs.map((job) => rowOfJob(job, state.address, this.doing)),
      ];
      write(this.count, this.summary(state, rows));
      this.showRows(rows);
      this.announce(rows);
    }

    summary(state, rows) {
      if (!state.read) return "Asking MobileSD…";
      if (!rows.length) return state.fault ? "" : "No jobs yet. Press Queue in MobileSD.";
      const running = state.jobs.filter(({ status }) => status === "processing").length;
      return joined(
        state.waiting && `${state.waiting} in the outbox`,
        state.refused && `${state.refused} refused`,
        running && `${running} running`,
        state.pending && `${state.pending} waiting`,
        !state.live && !state.fault && "asked every few seconds",
      );
    }

    showRows(rows) {
      const keys = new Set(rows.map(({ key }) => key));
      for (const [key, row] of this.rows) {
        if (keys.has(key)) continue;
        row.element.remove();
        this.rows.delete(key);
      }
      let before = null;
      for (const one of rows) {
        let row = this.rows.get(one.key);
        if (!row) this.rows.set(one.key, (row = new Row((text, bad) => this.say(text, bad))));
        row.show(one);
        const place = before ? before.nextElementSibling : this.list.firstElementChild;
        if (place !== row.element) this.list.insertBefore(row.element, place);
        before = row.element;
      }
    }

    // Only what ended: a screen reader that reads each percent says nothing else any more.
    announce(rows) {
      const states = new Map(rows.map(({ key, state }) => [key, state]));
      const ended = rows.filter(({ key, state }) => {
        const before = this.states?.get(key);
        return before && before !== state && ["completed", "failed", "refused"].includes(state);
      });
      this.states = states;
      if (!ended.length) return;
      const [{ title, state, error }] = ended;
      const more = ended.length > 1 ? ` And ${ended.length - 1} more.` : "";
      this.say(`${STATES[state]}: ${title}. ${error ?? ""}${more}`, state !== "completed");
    }
  }

  mobilesd.panel = (element, doing) => new Panel(element, doing);
})();
