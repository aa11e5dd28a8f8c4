// The style of all figures of a page: of what stands around the plane, on light pages and dark ones, wide and narrow.

const STYLE = `
  .fr-explorer { margin: 1.5rem 0; color: var(--pst-color-text-base, inherit); max-width: 42rem; }
  .fr-explorer svg, .fr-explorer canvas { display: block; width: 100%; height: auto; aspect-ratio: 6.8 / 5; }
  .fr-explorer canvas { touch-action: pan-y pinch-zoom; cursor: crosshair; border-radius: 4px;
    outline: 1px solid rgb(128 128 128 / 80%); user-select: none; -webkit-user-select: none;
    -webkit-touch-callout: none; }
  .fr-explorer :focus-visible { outline: 3px solid var(--pst-color-link, #0072b2); outline-offset: 1px; }
  .fr-bar { display: flex; flex-wrap: wrap; gap: 0.4rem 1rem; align-items: center; margin-top: 0.5rem;
    font-size: 0.9rem; line-height: 1.4; }
  .fr-bar label, .fr-time { display: inline-flex; gap: 0.4rem; align-items: center; min-height: 2rem; margin: 0; }
  .fr-time { flex: 1 1 12rem; font-variant-numeric: tabular-nums; }
  .fr-clock { min-width: 9.6em; }
  .fr-bar button, .fr-bar select { font: inherit; color: inherit; min-height: 2rem; min-width: 2.2rem;
    padding: 0.1rem 0.6rem; background: transparent; border: 1px solid currentColor; border-radius: 4px; }
  .fr-bar [aria-disabled="true"], .fr-bar label:has(:disabled) { opacity: 0.45; }
  .fr-bar select option { color: #14181e; background: #fff; }
  .fr-bar input[type="range"] { flex: 1; min-width: 6rem; height: 1.75rem; margin: 0; accent-color: #0072b2; }
  .fr-bar input[type="checkbox"] { width: 1.5rem; height: 1.5rem; margin: 0; accent-color: #0072b2; }
  .fr-said { min-height: 4.2em; margin: 0.5rem 0 0; font-size: 0.9rem; line-height: 1.4;
    font-variant-numeric: tabular-nums; }
  .fr-hint { margin: 0.25rem 0 0; font-size: 0.85rem; color: var(--pst-color-text-muted, inherit); }
  .fr-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  @media (max-width: 30rem) { .fr-said { min-height: 5.8em; } }
  @media (pointer: coarse) { .fr-bar button, .fr-bar select, .fr-bar label { min-height: 2.75rem; } }
  @media print { .fr-bar, .fr-hint { display: none; } }`;

/** Gives the page the style, once. */
export function addStyle() {
  if (document.getElementById("fr-style")) return;
  document.head.append(Object.assign(document.createElement("style"), { id: "fr-style", textContent: STYLE }));
}
