"use strict";
// What extensions and the page's own events expect of Forge's scripts.
const gradioApp = () => document;
const switch_to = (number) => document.querySelectorAll("#tabs > .tab-nav button")[number].click();
const switch_to_txt2img = () => switch_to(0);
const switch_to_img2img = () => switch_to(1);
const task = (inputs, tab) => [`task(${tab}-${Math.random().toString(36).slice(2)})`, ...inputs.slice(1)];
const submit = (inputs) => task(inputs, "txt2img");
const submit_img2img = (inputs) => task(inputs, "img2img");
const uiLoaded = [];
const onUiLoaded = (callback) => uiLoaded.push(callback);
const onAfterUiUpdate = (callback) => uiLoaded.push(callback);
const onUiUpdate = onAfterUiUpdate;
const waiting = setInterval(() => {
  if (!document.querySelector("#txt2img_prompt textarea")) return;
  clearInterval(waiting);
  for (const callback of uiLoaded) callback();
}, 50);
