// Controls that a thumb would miss: lower than 44 px. Links inside of texts don't count.
() => [...document.querySelectorAll("button, select, summary, .button, .tabs a, .back, .menu-item, input:not([type=hidden])")]
  .filter((element) => element.checkVisibility() && !element.closest(".unseen, :disabled"))
  .filter((element) => !element.matches(".unseen, [type=checkbox]"))
  .map((element) => [element, element.getBoundingClientRect()])
  .filter(([, box]) => box.height > 0 && box.height < 43.5)
  .map(([element, box]) => `${Math.round(box.height)} px: ${element.outerHTML.slice(0, 120)}`)
