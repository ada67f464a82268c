// Controls that a screen reader could not name, and pictures without an alternative text.
() => {
  const named = (element) =>
    element.textContent.trim() || element.getAttribute("aria-label") || element.title ||
    (element.labels && [...element.labels].some((label) => label.textContent.trim()));
  const controls = [...document.querySelectorAll("a[href], button, select, textarea, summary, input:not([type=hidden])")];
  const pictures = [...document.querySelectorAll("img:not([alt])")];
  return [...controls.filter((element) => !named(element)), ...pictures].map((e) => e.outerHTML.slice(0, 120));
}
