// The style of all figures of a page: of what stands around the plane, on light pages and dark ones, wide and narrow.
import { HEIGHT, WIDTH } from "./plane.js";

const STYLE = `
  .fr-explorer { margin: 1.5rem 0; color: var(--pst-color-text-base, inherit); font-family: inherit; }
  .fr-live { container: fr-live / inline-size; box-sizing: border-box; overflow: hidden; border-radius: 6px;
    max-width: min(100%, 42rem); border: 1px solid rgb(128 128 128 / 80%); }
  .fr-live svg, .fr-live canvas { display: block; width: 100%; height: auto; aspect-ratio: ${WIDTH} / ${HEIGHT}; }
  .fr-plane { position: relative; border-bottom: 1px solid rgb(128 128 128 / 50%); }
  .fr-live canvas { touch-action: pan-y pinch-zoom; cursor: crosshair; user-select: none; -webkit-user-select: none;
    -webkit-touch-callout: none; }
  .fr-live :focus-visible { outline: 3px solid var(--pst-color-link, #0072b2); outline-offset: 1px; }
  .fr-live canvas:focus-visible { outline-offset: -3px; }
  .fr-busy { position: absolute; inset: auto 0.5rem 0.5rem auto; display: flex; gap: 0.6rem; align-items: center;
    padding: 0.15rem 0.15rem 0.15rem 0.6rem; border: 1px solid rgb(128 128 128 / 80%); border-radius: 4px;
    background: var(--pst-color-background, var(--jp-layout-color0, #fff)); }
  .fr-busy[hidden] { display: none; }
  .fr-below { padding: 0.5rem 0.75rem 0.6rem; }
  .fr-bar { display: flex; flex-wrap: wrap; gap: 0.4rem 0.75rem; align-items: center; }
  .fr-live :is(.fr-bar, .fr-choices, .fr-said, .fr-busy) { font-size: 0.9rem; line-height: 1.4;
    font-variant-numeric: tabular-nums; }
  .fr-live .fr-bar > button { flex: 0 0 auto; }
  .fr-time { flex: 1 1 13rem; display: flex; gap: 0.5rem; align-items: center; min-height: 2rem; }
  .fr-clock { min-width: 5em; white-space: nowrap; }
  .fr-choices { display: grid; grid-template-columns: repeat(60, minmax(0, 1fr)); row-gap: 0.5rem;
    margin: 0.5rem -0.3rem 0; }
  .fr-choices label { grid-column: span var(--narrow); display: flex; flex-direction: column; margin: 0;
    padding: 0 0.3rem; }
  .fr-choices .fr-tick { flex-direction: row; gap: 0.4rem; align-items: center; align-self: end; min-height: 2rem;
    line-height: 1.15; }
  .fr-live :is(button, select) { font: inherit; color: inherit; min-height: 2rem; min-width: 2.2rem; margin: 0;
    padding: 0.1rem 0.5rem; background: transparent; border: 1px solid currentColor; border-radius: 4px; }
  .fr-live select { width: 100%; padding: 0.1rem 0.2rem; }
  .fr-live :is([aria-disabled="true"], label:has(:disabled)) { opacity: 0.45; }
  .fr-live select option { color: #14181e; background: #fff; }
  .fr-live input[type="range"] { flex: 1; min-width: 5rem; height: 1.75rem; margin: 0; background: none;
    appearance: none; -webkit-appearance: none; }
  .fr-live ::-webkit-slider-runnable-track { height: 4px; border-radius: 2px; background: #828890; }
  .fr-live ::-moz-range-track { height: 4px; border-radius: 2px; background: #828890; }
  .fr-live ::-webkit-slider-thumb { width: 1.1rem; height: 1.1rem; margin-top: calc(2px - 0.55rem); border: 0;
    border-radius: 50%; background: var(--pst-color-link, #0072b2); appearance: none; -webkit-appearance: none; }
  .fr-live ::-moz-range-thumb { width: 1.1rem; height: 1.1rem; border: 0; border-radius: 50%;
    background: var(--pst-color-link, #0072b2); }
  .fr-live .fr-choices input[type="range"] { flex: none; width: 100%; height: 2rem; }
  .fr-live input[type="checkbox"] { flex: none; width: 1.5rem; height: 1.5rem; margin: 0; accent-color: #0072b2; }
  .fr-live .fr-said { min-height: 4.2em; margin: 0.6rem 0 0; max-width: none; }
  .fr-live .fr-hint { display: grid; margin: 0.25rem 0 0; font-size: 0.85rem; line-height: 1.4; max-width: none;
    color: var(--pst-color-text-muted, inherit); }
  .fr-hint span { grid-area: 1 / 1; visibility: hidden; }
  .fr-live:not(:has(canvas:focus-visible)) .fr-hint .mouse { visibility: visible; }
  .fr-live:has(canvas:focus-visible) .fr-hint .keys { visibility: visible; }
  .fr-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .fr-explorer figcaption { max-width: 42rem; margin-top: 0.6rem; text-align: left; }
  @container fr-live (min-width: 34rem) { .fr-choices label { grid-column: span var(--wide); } }
  @container fr-live (max-width: 26rem) { .fr-live .fr-said { min-height: 5.8em; } }
  @media (pointer: coarse) {
    .fr-live :is(button, select, .fr-tick, .fr-choices input[type="range"]) { min-height: 2.75rem; }
    .fr-live:not(:has(canvas:focus-visible)) .fr-hint .mouse { visibility: hidden; }
    .fr-live:not(:has(canvas:focus-visible)) .fr-hint .finger { visibility: visible; }
  }
  @media print { .fr-live :is(.fr-bar, .fr-choices, .fr-hint, .fr-busy) { display: none; }
    .fr-live .fr-said { min-height: 0; } }`;

/** Gives the page the style, once. */
export function addStyle() {
  if (document.getElementById("fr-style")) return;
  document.head.append(Object.assign(document.createElement("style"), { id: "fr-style", textContent: STYLE }));
}
