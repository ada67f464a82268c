// Times of a job's page in the time of whoever looks at it.

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
});

function tellClocks(root) {
  for (const element of root.querySelectorAll("time[data-clock]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    element.textContent = clock.format(moment);
    element.title = moment.toLocaleString();
    element.removeAttribute("data-clock");
  }
}
tellClocks(document);
document.addEventListener("htmx:afterSettle", () => tellClocks(document));
