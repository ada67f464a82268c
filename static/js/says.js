// What a screen reader is told of what moves on the queue page.

const place = document.getElementById("queue-says");

export function say(words) {
  if (place) place.textContent = words;
}
