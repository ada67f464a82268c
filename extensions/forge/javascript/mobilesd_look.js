// The panel's looks, in the colours of Gradio's theme, which change with light and dark.

(() => {
  const mobilesd = (window.mobilesd ??= {});
  const STYLE = `
    .mobilesd-ready { display: block; color: var(--body-text-color, inherit); font-size: 14px; line-height: 1.4; }
    .mobilesd-ready [hidden] { display: none !important; }
    .mobilesd-ready a { color: var(--link-text-color, #1d4ed8); text-decoration: underline; }
    .mobilesd-head { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; justify-content: space-between; min-height: 32px; }
    .mobilesd-list { list-style: none !important; margin: 0 !important; padding: 0 !important; max-height: 70vh; overflow-y: auto; overscroll-behavior: contain; }
    .mobilesd-job { display: flex; gap: 12px; margin: 0 !important; padding: 10px 2px; border-top: 1px solid var(--border-color-primary, #8884); }
    /* Gradio has rules of its own for all pictures and for bars. */
    .mobilesd-ready img.mobilesd-thumb { flex: none; align-self: flex-start; width: 72px !important; height: 72px !important; margin: 0 !important; object-fit: cover; border-radius: 6px; }
    .mobilesd-body { flex: 1; min-width: 0; }
    .mobilesd-line { display: flex; gap: 8px; align-items: baseline; }
    .mobilesd-title { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .mobilesd-state { flex: none; padding: 1px 8px; border: 1px solid currentColor; border-radius: 99px; font-size: 12px; font-weight: 600; }
    .mobilesd-note { color: var(--body-text-color, inherit); opacity: .85; overflow-wrap: anywhere; }
    .mobilesd-error, .mobilesd-fault, .mobilesd-said.mobilesd-bad { overflow-wrap: anywhere; padding-left: 8px; border-left: 3px solid var(--mobilesd-bad); }
    .mobilesd-error { margin: 4px 0; }
    .mobilesd-fault, .mobilesd-said:not(:empty) { margin: 4px 0 8px; }
    .mobilesd-ready { --mobilesd-bad: #b91c1c; --mobilesd-good: #15803d; --mobilesd-busy: #1d4ed8; }
    .dark .mobilesd-ready { --mobilesd-bad: #f87171; --mobilesd-good: #4ade80; --mobilesd-busy: #93c5fd; }
    .mobilesd-job:is([data-state=failed], [data-state=refused]) .mobilesd-state { color: var(--mobilesd-bad); }
    .mobilesd-job[data-state=completed] .mobilesd-state { color: var(--mobilesd-good); }
    .mobilesd-job:is([data-state=processing], [data-state=sending]) .mobilesd-state { color: var(--mobilesd-busy); }
    .mobilesd-ready .mobilesd-bar { display: block; width: 100%; height: 8px; margin: 6px 0; appearance: none; border: 0; border-radius: 4px; overflow: hidden; background: var(--border-color-primary, #8884); }
    .mobilesd-bar::-webkit-progress-bar { background: transparent; }
    .mobilesd-bar::-webkit-progress-value { background: var(--mobilesd-busy); }
    .mobilesd-bar::-moz-progress-bar { background: var(--mobilesd-busy); }
    .mobilesd-buttons { display: flex; flex-wrap: wrap; gap: 6px 8px; align-items: center; margin-top: 6px; }
    .mobilesd-ready :is(.mobilesd-button, .mobilesd-input) { margin: 0 !important; min-height: 32px; padding: 2px 12px; border: 1px solid var(--border-color-primary, #888); border-radius: 6px; font: inherit; }
    .mobilesd-ready .mobilesd-button { background: var(--button-secondary-background-fill, #eee); color: var(--button-secondary-text-color, inherit); cursor: pointer; }
    .mobilesd-ready .mobilesd-button:hover { background: var(--button-secondary-background-fill-hover, #ddd); }
    .mobilesd-ready .mobilesd-button[aria-disabled=true] { opacity: .5; cursor: progress; }
    .mobilesd-ready .mobilesd-button[data-sure] { color: var(--mobilesd-bad); border-color: currentColor; }
    .mobilesd-ready .mobilesd-link { display: inline-flex; align-items: center; min-height: 32px; }
    .mobilesd-ready :focus-visible { outline: 2px solid var(--mobilesd-busy); outline-offset: 2px; }
    .mobilesd-ready .mobilesd-input { flex: 1 1 220px; min-width: 0; background: var(--input-background-fill, #fff); color: inherit; }
    .mobilesd-input::placeholder { color: inherit; opacity: .75; }
    .mobilesd-form { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 6px 0; }
    .mobilesd-form label { flex-basis: 100%; font-weight: 600; }
    @media (pointer: coarse), (max-width: 600px) {
      .mobilesd-ready :is(.mobilesd-button, .mobilesd-input, .mobilesd-link) { min-height: 44px; }
      .mobilesd-list { max-height: none; }
    }
  `;

  // One for each panel: Forge throws parts of its page away and makes them anew.
  mobilesd.look = () => Object.assign(document.createElement("style"), { textContent: STYLE });
})();
