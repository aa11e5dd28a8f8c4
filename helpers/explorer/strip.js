// The strip: images side by side at one time of their path, and what moves them through it.
//
// It needs none of the explorer's files. The page carries every image at some times, a byte for each pixel, and
// between two of these times a pixel is on the straight line between its values: 0 is white, 255 is black.

window.FiveRingsStrip ??= (() => {
"use strict";
const SIDE = 8, PIXELS = SIDE * SIDE, SECONDS = 4;
const STYLE = `
  .fr-strip { margin: 1.5rem 0; color: var(--pst-color-text-base, inherit); font-family: inherit; }
  .fr-film { container: fr-film / inline-size; box-sizing: border-box; max-width: min(100%, 42rem); padding: 0.75rem;
    border: 1px solid rgb(128 128 128 / 80%); border-radius: 6px; overflow: hidden; }
  .fr-images { display: grid; grid-template-columns: repeat(var(--narrow), minmax(0, 1fr)); gap: 0.5rem 0.4rem; }
  .fr-images div { text-align: center; font-size: 0.85rem; line-height: 1.3; overflow-wrap: anywhere; }
  .fr-film canvas { display: block; width: 100%; aspect-ratio: 1; box-sizing: border-box; image-rendering: pixelated;
    border: 1px solid rgb(128 128 128 / 80%); filter: invert(1); }
  .fr-scrub { display: flex; flex-wrap: wrap; gap: 0.4rem 0.75rem; align-items: center; margin-top: 0.6rem; }
  .fr-scrub label { flex: 1 1 13rem; display: flex; gap: 0.5rem; align-items: center; margin: 0; }
  .fr-scrub output { min-width: 4em; white-space: nowrap; }
  .fr-film :is(.fr-scrub, .fr-seen) { font-size: 0.9rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
  .fr-film button { font: inherit; color: inherit; min-height: 2rem; min-width: 2.2rem; margin: 0; padding: 0.1rem 0.5rem;
    background: transparent; border: 1px solid currentColor; border-radius: 4px; }
  .fr-film button[aria-disabled="true"] { opacity: 0.45; }
  .fr-film input { flex: 1; min-width: 5rem; height: 1.75rem; margin: 0; background: none; appearance: none;
    -webkit-appearance: none; }
  .fr-film ::-webkit-slider-runnable-track { height: 4px; border-radius: 2px; background: #828890; }
  .fr-film ::-moz-range-track { height: 4px; border-radius: 2px; background: #828890; }
  .fr-film ::-webkit-slider-thumb { width: 1.1rem; height: 1.1rem; margin-top: calc(2px - 0.55rem); border: 0;
    border-radius: 50%; background: var(--pst-color-link, #0072b2); appearance: none; -webkit-appearance: none; }
  .fr-film ::-moz-range-thumb { width: 1.1rem; height: 1.1rem; border: 0; border-radius: 50%;
    background: var(--pst-color-link, #0072b2); }
  .fr-film :focus-visible { outline: 3px solid var(--pst-color-link, #0072b2); outline-offset: 1px; }
  .fr-film .fr-seen { min-height: 2.8em; margin: 0.5rem 0 0; max-width: none; }
  .fr-unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .fr-strip figcaption { max-width: 42rem; margin-top: 0.6rem; text-align: left; }
  @container fr-film (min-width: 30rem) { .fr-images { grid-template-columns: repeat(var(--wide), minmax(0, 1fr)); } }
  @container fr-film (max-width: 26rem) { .fr-film .fr-seen { min-height: 4.2em; } }
  @media (pointer: coarse) { .fr-film :is(button, input) { min-height: 2.75rem; } }
  @media print { .fr-film .fr-scrub { display: none; } }`;

function element(name, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties, made = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

class Strip {
  constructor(root, { times, labels, packed }) {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0)), size = labels.length * PIXELS;
    Object.assign(this, { root, times, labels, time: times[0], playing: false, last: null, frame: null });
    this.frames = times.map((_, k) => bytes.subarray(k * size, (k + 1) * size));
    this.stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.build();
    this.show();
    this.update();
    root.dataset.ready = "true";
  }

  get end() {
    return this.times.at(-1);
  }

  /** Every pixel of every image at this time. */
  get ink() {
    const { times, frames, time } = this, last = times.length - 2, after = times.findIndex((t) => t > time);
    const k = after < 0 ? last : Math.max(0, after - 1), share = (time - times[k]) / (times[k + 1] - times[k]);
    return Float64Array.from(frames[k], (value, i) => value + share * (frames[k + 1][i] - value));
  }

  build() {
    const { root, labels, times } = this;
    const button = (textContent, name, act) => {
      const made = element("button", { type: "button", textContent, attributes: name ? { "aria-label": name } : {} });
      made.addEventListener("click", act);
      return made;
    };
    this.canvases = labels.map(() => element("canvas", { width: SIDE, height: SIDE }));
    const cells = labels.map((label, i) => element("div", {}, this.canvases[i], label));
    const told = { role: "img", "aria-label": `Images side by side: ${labels.join(", ")}` };
    const images = element("div", { className: "fr-images", attributes: told }, ...cells);
    images.style.setProperty("--wide", Math.min(10, labels.length));
    images.style.setProperty("--narrow", Math.min(5, labels.length));
    this.back = button("◂", "One step back", () => this.step(-1));
    this.player = button("Play", "", () => (this.playing ? this.pause() : this.play()));
    this.on = button("▸", "One step on", () => this.step(1));
    this.clock = element("output", { attributes: { "aria-live": "off" } });
    const step = (this.end - times[0]) / 100, range = { type: "range", min: times[0], max: this.end, step };
    this.slider = element("input", { ...range, attributes: { "aria-label": "Time" } });
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
    const bar = element("div", { className: "fr-scrub" }, this.back, this.player, this.on,
      element("label", {}, this.clock, this.slider));
    this.seen = element("p", { className: "fr-seen" });
    this.announcer = element("p", { className: "fr-unseen", attributes: { role: "status", "aria-live": "polite" } });
    root.addEventListener("keydown", (event) => event.stopPropagation()); // else a notebook takes them for its own
    this.stillness.addEventListener("change", () => this.pause());
    root.querySelector(".fr-film").replaceChildren(images, bar, this.seen, this.announcer);
  }

  play() {
    if (this.time >= this.end) this.time = this.times[0];
    Object.assign(this, { playing: true, last: null });
    this.show();
  }

  pause() {
    this.playing = false;
    this.show();
  }

  seek(time) {
    this.playing = false;
    this.time = Math.max(this.times[0], Math.min(this.end, time));
    this.show();
  }

  /** To the next of the stored times, or the one before. */
  step(by) {
    const { times, time } = this, near = 1e-9;
    const ahead = by > 0 ? times.filter((t) => t > time + near) : times.filter((t) => t < time - near).reverse();
    this.seek(ahead[0] ?? time);
  }

  /** Asks for a frame, unless one is coming. */
  show() {
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = null;
      if (!this.root.isConnected) return; // the cell has been run again
      if (this.playing) this.advance(now);
      this.update();
      if (this.playing) this.show();
    });
  }

  advance(now) {
    const passed = this.last === null ? 0 : Math.min(100, now - this.last); // frames may stop for long
    this.last = now;
    this.time = Math.min(this.end, this.time + ((this.end - this.times[0]) * passed) / 1000 / SECONDS);
    if (this.time >= this.end) this.playing = false;
  }

  update() {
    const { ink, time, times } = this, clock = `t = ${time.toFixed(2)}`;
    this.canvases.forEach((canvas, i) => paint(canvas, ink.subarray(i * PIXELS, (i + 1) * PIXELS)));
    this.clock.textContent = clock;
    this.slider.value = time;
    this.slider.setAttribute("aria-valuetext", clock);
    this.player.textContent = this.playing ? "Pause" : "Play";
    this.player.hidden = this.stillness.matches; // who wants no motion has the steps
    // Not `disabled`, which would take the focus away at the end of the way.
    this.back.setAttribute("aria-disabled", time <= times[0]);
    this.on.setAttribute("aria-disabled", time >= this.end);
    this.seen.textContent = this.say(ink, clock);
    if (!this.playing) this.announce(this.seen.textContent);
  }

  /** What is seen: how far the images are, in shades of grey, from what they become. */
  say(ink, clock) {
    const { labels, frames, time, times } = this, end = frames.at(-1), many = labels.length > 1;
    const who = many ? `the ${labels.length} images` : "the image", be = many ? "are" : "is";
    if (time <= times[0]) return `At ${clock} ${who} ${be} where the path begins.`;
    if (time >= this.end) return `At ${clock} ${who} ${be} where the path ends.`;
    const left = labels.map((_, i) => apart(ink, end, i) / (apart(frames[0], end, i) || 1));
    const mean = Math.round((100 * left.reduce((sum, one) => sum + one)) / left.length);
    const named = (one) => `“${labels[left.indexOf(one)]}”`;
    if (!many) return `At ${clock} ${who} has ${mean}\u00a0% of its way before it.`;
    return `At ${clock} ${who} have ${mean}\u00a0% of their way before them on average, ` +
      `${named(Math.min(...left))} the least and ${named(Math.max(...left))} the most.`;
  }

  /** Tells those who listen what is seen, once it has come to rest. */
  announce(text) {
    if (text === this.announced) return;
    this.announced = text;
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => (this.announcer.textContent = text), 500);
  }
}

/** The root of the mean squared difference of the i-th image in two states. */
function apart(a, b, i) {
  let sum = 0;
  for (let k = i * PIXELS; k < (i + 1) * PIXELS; k++) sum += (a[k] - b[k]) ** 2;
  return Math.sqrt(sum / PIXELS);
}

function paint(canvas, ink) {
  const pixels = new Uint8ClampedArray(4 * PIXELS).fill(255);
  ink.forEach((value, i) => pixels.fill(255 - Math.round(value), 4 * i, 4 * i + 3));
  canvas.getContext("2d").putImageData(new ImageData(pixels, SIDE, SIDE), 0, 0);
}

/** Turns the figure of this id, which holds a static picture, into a strip. */
function mount(id) {
  if (!document.getElementById("fr-strip-style")) {
    document.head.append(element("style", { id: "fr-strip-style", textContent: STYLE }));
  }
  const root = document.getElementById(id), data = JSON.parse(document.getElementById(`${id}-data`).textContent);
  root.strip = new Strip(root, data);
}

return { mount };
})();
