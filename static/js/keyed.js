// A swap for lists that are read again while somebody looks at them: elements are known by their
// id, and one whose data-version is the same stays as it is. So nothing flickers, nothing loses
// its focus, and a list that was scrolled on keeps its tail (data-open).
//
// Elements with data-hold (what somebody drags) are left alone while they are in the answer.
//
//   hx-swap="keyed"         the answer is the whole content of the target
//   hx-swap="keyed:append"  the answer is what follows in the target

function unchanged(old, fresh) {
  if (old.hasAttribute("data-hold")) return true;
  const version = fresh.dataset.version;
  return version !== undefined && (version === "keep" || version === old.dataset.version);
}

function adopt(old, fresh, added) {
  if (fresh.hasAttribute("data-keyed") && old.hasAttribute("data-keyed")) {
    old.toggleAttribute("data-open", fresh.hasAttribute("data-open"));
    reconcile(old, fresh, added);
    return old;
  }
  if (unchanged(old, fresh)) {
    old.dispatchEvent(new CustomEvent("kept", { bubbles: true, detail: fresh }));
    return old;
  }
  added.push(fresh);
  return fresh;
}

function reconcile(target, source, added) {
  const before = [...target.children];
  const known = new Map(before.filter((e) => e.id).map((e) => [e.id, e]));
  const wanted = new Set([...source.children].map((e) => known.get(e.id)));
  const last = before.findLastIndex((e) => wanted.has(e));
  const keepsTail = target.hasAttribute("data-open");
  before.forEach((old, index) => {
    if (!wanted.has(old) && !(keepsTail && index > last)) old.remove();
  });
  let place = target.firstElementChild;
  for (const fresh of [...source.children]) {
    const old = fresh.id ? known.get(fresh.id) : undefined;
    if (!old) {
      added.push(fresh);
      target.insertBefore(fresh, place);
      continue;
    }
    if (old === place) place = place.nextElementSibling;
    else target.insertBefore(old, place);
    const element = adopt(old, fresh, added);
    if (element !== old) old.replaceWith(element);
  }
}

function append(target, source, added) {
  for (const fresh of [...source.children]) {
    const old = fresh.id && document.getElementById(fresh.id);
    if (old && target.contains(old)) continue;
    added.push(fresh);
    if (old) old.replaceWith(fresh);
    else target.append(fresh);
  }
}

window.htmx.defineExtension("keyed", {
  isInlineSwap: () => false,
  handleSwap(style, target, fragment) {
    if (!style.startsWith("keyed")) return false;
    const added = [];
    const focused = document.activeElement; // an element that is put elsewhere loses the focus
    (style === "keyed:append" ? append : reconcile)(target, fragment, added);
    if (focused !== document.activeElement && target.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
    return added.length ? added : true;
  },
});
