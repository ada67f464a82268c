// How many jobs ended while nobody looked: before the title, on the icon of the tab, and on the
// icon of the installed page. Looking at the page makes it go away.

const ENDED = new Set(["completed", "failed"]);
const icon = document.querySelector('link[rel="icon"]');
const plainIcon = icon ? { href: icon.href, type: icon.type } : null;
const title = new MutationObserver(() => show());
let plainTitle = document.title;
let count = 0;

function words() {
  return count > 99 ? "99+" : String(count);
}

function showTitle() {
  title.disconnect();
  if (!/^\(\d+\+?\) /.test(document.title)) plainTitle = document.title;
  document.title = count ? `(${words()}) ${plainTitle}` : plainTitle;
  const element = document.querySelector("title");
  if (element && count) title.observe(element, { childList: true });
}

function drawIcon() {
  const drawn = count;
  const picture = new Image();
  picture.addEventListener("load", () => {
    if (drawn !== count) return; // another one ended, or somebody looked
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 64;
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0, 64, 64);
    context.fillStyle = "#d1242f";
    context.beginPath();
    context.arc(42, 22, 22, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = "#fff";
    context.font = `bold ${count > 9 ? 26 : 34}px sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(count > 99 ? "99" : String(count), 42, 24);
    icon.type = "image/png";
    icon.href = canvas.toDataURL("image/png");
  });
  picture.src = plainIcon.href;
}

function showIcon() {
  if (!icon) return;
  if (count) {
    drawIcon();
  } else if (icon.href !== plainIcon.href) {
    icon.type = plainIcon.type;
    icon.href = plainIcon.href;
  }
}

function showAppBadge() {
  // Only where the page is installed, and only in a secure context; elsewhere it is not there.
  const done = count ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.();
  done?.catch(() => {});
}

function show() {
  showTitle();
  showIcon();
  showAppBadge();
}

document.addEventListener("mobilesd:job.status", ({ detail }) => {
  if (!document.hidden || !ENDED.has(detail.status)) return;
  count += 1;
  show();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden || !count) return;
  count = 0;
  show();
});
