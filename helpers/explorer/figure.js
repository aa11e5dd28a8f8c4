// The figure: a model, its settings, and where on the way its points are; it says when what is computed and drawn.
//
// A cloud, a grid or a density is computed a little in each frame; the way of the point that is dragged, and of its
// companions, at once. `progress` runs from 0 to 1 over the whole way, there and back included.
import { Controls } from "./controls.js";
import { paintDensity } from "./density.js";
import { draw } from "./drawing.js";
import { ExactField } from "./exact_field.js";
import { load } from "./models.js";
import { HEIGHT, Plane, WIDTH } from "./plane.js";
import { DEFAULTS } from "./settings.js";
import { stepTimes } from "./solvers.js";
import { addStyle } from "./style.js";
import { computeCloud, computeGrid, trace } from "./ways.js";

const SECONDS = 4; // that a way takes

class Explorer {
  constructor(root, { model, rings, colours, label, controls, start }) {
    Object.assign(this, { root, rings, colours });
    this.learned = load(model);
    this.exact = new ExactField(rings);
    this.takesLabels = this.learned.classes > 0; // else a ring chooses what is shown, and no model hears of it
    this.judgesSteps = controls.includes("steps"); // whether the error of the steps is a subject here
    this.settings = { ...DEFAULTS, ...start };
    this.progress = this.settings.at;
    this.home = [this.settings.x, this.settings.y];
    this.cloud = this.grid = this.picture = this.traced = null; // what has been computed
    this.job = this.jobKey = this.painting = null; // what is being computed
    this.playing = false;
    this.frame = this.lastFrame = null;
    this.stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.controls = new Controls(this, label, controls);
    this.plane = new Plane(this.controls.canvas);
    this.refresh();
    if (this.settings.autoplay && !this.stillness.matches) this.playWhenSeen();
    root.dataset.ready = "true";
  }

  get model() {
    return this.settings.field === "exact" ? this.exact : this.learned;
  }

  /** Steps, or layers, of one leg of the way; and of the whole way. */
  get steps() {
    return this.learned.isFlow ? this.learned.couplings.length : this.settings.steps;
  }

  get moves() {
    return this.settings.way === "return" ? 2 * this.steps : this.steps;
  }

  /** The time t at this place of the way. */
  get time() {
    const leg = this.progress * this.moves, k = Math.min(Math.floor(leg), this.moves - 1), { steps } = this;
    const times = stepTimes(steps, this.model.end, this.settings.late);
    const after = (j) => times[this.settings.way === "backward" ? steps - j : j <= steps ? j : 2 * steps - j];
    return after(k) + (leg - k) * (after(k + 1) - after(k));
  }

  /** How many couplings the points have behind them. */
  get layer() {
    return this.settings.way === "backward" ? (1 - this.progress) * this.steps : this.progress * this.steps;
  }

  /** Which density belongs here: that after how many couplings, or at which time. */
  get dueDensity() {
    return this.learned.isFlow ? Math.round(this.layer) : Math.round(this.time * 200) / 200;
  }

  /** Points at this place of the way: between two states on the straight line. */
  now(states) {
    const leg = this.progress * (states.length - 1), k = Math.min(Math.floor(leg), states.length - 2);
    return states[k].map((value, i) => value + (leg - k) * (states[k + 1][i] - value));
  }

  /** The ways of the point that is dragged and of its companions; kept until something changes. */
  trace() {
    return (this.traced ??= trace(this));
  }

  // Changes.

  /** Moves the start of the way; noise that is uniform on a box has nothing outside. */
  place(x, y) {
    const box = this.settings.way === "forward" && this.model.box ? this.model.box : Infinity;
    const within = (value, size) => Math.max(-Math.min(size / 2, box), Math.min(size / 2, box, value));
    Object.assign(this.settings, { x: within(x, WIDTH), y: within(y, HEIGHT) });
    this.traced = null;
    this.show();
  }

  change(settings) {
    const [x, y] = this.trace().states[this.steps]; // where the point is after the first leg
    const turned = settings.way && (settings.way === "backward") !== (this.settings.way === "backward");
    Object.assign(this.settings, settings);
    // Go back from where the point has arrived, if the plane shows it.
    if (turned && Math.abs(x) < WIDTH / 2 && Math.abs(y) < HEIGHT / 2) this.place(x, y);
    this.refresh();
  }

  /** Brings controls in line with the settings, and computes anew what depends on what has changed. */
  refresh() {
    const { points, way, method, steps, field, ring, grid } = this.settings;
    this.controls.refresh();
    this.traced = null;
    const label = this.takesLabels ? ring : -1, key = [way, method, steps, field, label].join();
    const wanted = { cloud: points === "cloud", grid: grid && !this.controls.isOff("grid") };
    const due = Object.keys(wanted).filter((name) => wanted[name] && this[name]?.key !== key);
    for (const name in wanted) {
      if (!wanted[name] || (this[name] && this[name].way !== way)) this[name] = null;
    }
    if (!due.length) this.job = null;
    else if (!this.job || this.jobKey !== key + due) this.job = this.compute(due, { key, way });
    this.jobKey = key + due;
    if (this.picture?.label !== label) this.picture = this.painting = null;
    this.show();
  }

  *compute(names, about) {
    for (const name of names) yield* name === "cloud" ? computeCloud(this, about) : computeGrid(this, about);
  }

  // Time.

  play() {
    if (this.progress >= 1) this.progress = 0;
    this.playing = true;
    this.lastFrame = null;
    this.show();
  }

  pause() {
    this.playing = false;
    this.show();
  }

  playWhenSeen() {
    this.progress = 0;
    const eye = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      eye.disconnect();
      this.play();
    }, { threshold: 0.6 });
    eye.observe(this.controls.canvas);
  }

  seek(progress) {
    this.playing = false;
    this.progress = Math.max(0, Math.min(1, progress));
    this.show();
  }

  /** One step of the solver, or one layer, on or back. */
  step(by) {
    const here = this.progress * this.moves;
    this.seek((by > 0 ? Math.floor(here + 1e-6) + 1 : Math.ceil(here - 1e-6) - 1) / this.moves);
  }

  /** Asks for a frame, unless one is coming. */
  show() {
    this.frame ??= requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    this.frame = null;
    this.work(performance.now() + (this.playing ? 10 : 24));
    if (this.playing) this.advance(now);
    if (this.plane.clear()) draw(this);
    this.controls.update();
    if (this.playing || this.job || this.painting || this.lacksDensity) this.show();
  }

  /** Whether the density that is due is not there. */
  get lacksDensity() {
    return this.settings.density && this.picture?.key !== this.dueDensity;
  }

  /** Goes on with what is being computed, until a time. */
  work(until) {
    if (this.lacksDensity) this.painting ??= paintDensity(this, this.dueDensity);
    for (const name of ["painting", "job"]) {
      while (this[name] && performance.now() < until) if (this[name].next().done) this[name] = null;
    }
  }

  advance(now) {
    const passed = this.lastFrame === null ? 0 : Math.min(100, now - this.lastFrame); // frames may stop for long
    this.lastFrame = now;
    if (this.progress === 0 && this.job) return; // start when all points are there
    this.progress = Math.min(1, this.progress + passed / 1000 / SECONDS / (this.settings.way === "return" ? 2 : 1));
    if (this.progress >= 1) this.playing = false;
  }
}

/** Turns the figure of this id, which holds a static picture, into an explorer. */
export function mount(id) {
  addStyle();
  const root = document.getElementById(id), data = JSON.parse(document.getElementById(`${id}-data`).textContent);
  root.explorer = new Explorer(root, data);
}
