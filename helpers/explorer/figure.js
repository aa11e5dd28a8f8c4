// The figure: a model, its settings, and where on the way its points are; it says when what is computed and drawn.
//
// What takes long goes to the computer; the way of the point that is dragged, and of its companions, is computed at
// once where it is short. `progress` runs from 0 to 1 over the whole way, there and back included.
import { COMPUTATIONS } from "./computing.js";
import { Controls } from "./controls.js";
import { asImage } from "./density.js";
import { draw } from "./drawing.js";
import { choose } from "./guidance.js";
import { HEIGHT, Plane, WIDTH } from "./plane.js";
import { DEFAULTS } from "./settings.js";
import { finish, stepTimes } from "./solvers.js";
import { unpack } from "./stored.js";
import { addStyle } from "./style.js";
import { Cloud, cloudTask, gridTask, readWay, wayTask } from "./ways.js";
import { Computer, loadModels } from "./worker.js";

const SECONDS = 4; // that a way takes
const AT_ONCE = 1200; // evaluations of a model, some ten milliseconds; what takes more goes to the computer
const WAIT = 1000; // milliseconds that a play waits for all points to be there

class Explorer {
  constructor(root, { model, rings, colours, label, controls, start, stored }) {
    Object.assign(this, { root, rings, colours });
    this.models = loadModels({ model, rings });
    Object.assign(this, this.models); // learned and exact
    this.computer = new Computer({ model, rings }, this.models, (told) => this.receive(told));
    this.takesLabels = this.learned.classes > 0; // else a ring chooses what is shown, and no model hears of it
    this.judgesSteps = controls.includes("steps"); // whether the error of the steps is a subject here
    this.settings = { ...DEFAULTS, ...start };
    if (controls.includes("level")) this.settings.level ??= 1;
    this.progress = this.settings.at;
    this.home = [this.settings.x, this.settings.y];
    this.cloud = this.grid = this.picture = this.traced = null; // what has been computed
    this.stale = true; // whether the way has to be computed anew
    this.pending = {}; // what is being computed, or has been stopped: { name, key, share, since, stopped }
    this.playing = false;
    this.frame = this.lastFrame = null;
    this.stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.controls = new Controls(this, label, controls);
    this.plane = new Plane(this.controls.canvas);
    if (stored) this.takeStored(unpack(stored));
    this.refresh();
    if (this.settings.autoplay && !this.stillness.matches) this.playWhenSeen();
    root.dataset.ready = "true";
  }

  get model() {
    return choose(this.models, this.settings);
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

  /** The ways of the point that is dragged and of its companions; null, or those of before, until they are there. */
  trace() {
    if (this.stale && !this.computes("way")) this.retrace();
    return this.traced;
  }

  retrace() {
    const task = wayTask(this);
    this.stale = false;
    if (task.evaluations > AT_ONCE) return this.request("way", this.key, () => task);
    this.release("way");
    this.traced = readWay(this, task, finish(COMPUTATIONS.way(this.models, task)));
  }

  // Changes.

  /** Moves the start of the way; noise that is uniform on a box has nothing outside. */
  place(x, y) {
    const box = this.settings.way === "forward" && this.model.box ? this.model.box : Infinity;
    const within = (value, size) => Math.max(-Math.min(size / 2, box), Math.min(size / 2, box, value));
    Object.assign(this.settings, { x: within(x, WIDTH), y: within(y, HEIGHT) });
    this.stale = true;
    if (this.pending.way?.stopped) this.release("way");
    this.show();
  }

  change(settings) {
    const [x, y] = this.trace()?.states[this.steps] ?? []; // where the point is after the first leg
    const turned = settings.way && (settings.way === "backward") !== (this.settings.way === "backward");
    Object.assign(this.settings, settings);
    // Go back from where the point has arrived, if the plane shows it.
    if (turned && Math.abs(x) < WIDTH / 2 && Math.abs(y) < HEIGHT / 2) this.place(x, y);
    this.refresh();
  }

  /** Tells what a cloud, a grid and a way depend on. */
  get key() {
    const { way, method, steps, field, rows, weight, ring, level, push } = this.settings;
    return [way, method, steps, field, rows, weight, level, push, this.takesLabels ? ring : -1].join();
  }

  /** Brings controls in line with the settings, and computes anew what depends on what has changed. */
  refresh() {
    const { points, way, grid } = this.settings, { key } = this;
    this.controls.refresh();
    const wanted = { cloud: points === "cloud", grid: grid && !this.controls.isOff("grid") };
    for (const name in wanted) {
      if (!wanted[name] || (this[name] && this[name].way !== way)) this[name] = null;
      if (!wanted[name] || this[name]?.key === key) this.release(name);
      else this.request(name, key, () => (name === "cloud" ? { ...cloudTask(this), from: this.begun } : gridTask(this)));
    }
    if (this.picture?.label !== this.label) this.picture = null;
    this.release("density");
    this.release("way");
    this.traced = null;
    this.stale = true;
    this.show();
  }

  get label() {
    return this.takesLabels ? this.settings.ring : -1;
  }

  // What is computed.

  /** Asks for something, unless it is under way or has been stopped. */
  request(name, key, task) {
    if (this.pending[name]?.key === key) return;
    const asked = (this.pending[name] = { name, key, share: 0, since: performance.now(), task: task() });
    this.computer.ask(name, { ...asked.task, key });
  }

  release(name) {
    if (this.pending[name]) this.computer.ask(name, null);
    delete this.pending[name];
  }

  computes(name) {
    return Boolean(this.pending[name] && !this.pending[name].stopped);
  }

  get busy() {
    return Object.keys(this.pending).some((name) => this.computes(name));
  }

  receive({ name, key, share, part, done }) {
    const asked = this.pending[name];
    if (asked?.key === key && this.computes(name)) {
      asked.share = share;
      if (!part && !done) return this.controls.updateNotice(); // nothing to draw
      if (done) delete this.pending[name];
      if (name === "cloud") this.takeCloud(key, part, done);
      else if (part && name === "grid") this.grid = { key, way: this.settings.way, states: part };
      else if (part && name === "density") this.takeDensity(asked.task, part);
      else if (part && name === "way") this.traced = readWay(this, asked.task, part);
    }
    this.show();
  }

  takeDensity({ place, label }, pixels) {
    this.picture = { key: place, label, image: asImage(pixels) };
  }

  takeCloud(key, part, done) {
    if (part && this.cloud?.due !== key) this.cloud = new Cloud(key, this.settings.way);
    if (part) this.cloud.add(this, part);
    if (done) this.cloud.key = key;
  }

  /** The cloud of the settings at first, which came with the page. */
  takeStored(states) {
    this.takeCloud(this.key, { first: 0, states }, true);
  }

  /** How many points of the cloud are there already. */
  get begun() {
    return this.cloud?.due === this.key ? this.cloud.count : 0;
  }

  /** Gives up what is being computed; what is there of it stays. */
  stop() {
    for (const name in this.pending) {
      this.computer.ask(name, null);
      this.pending[name].stopped = true;
    }
    this.show();
  }

  /** Takes up what has been stopped. */
  goOn() {
    for (const name in this.pending) if (this.pending[name].stopped) delete this.pending[name];
    this.refresh();
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
    }, { threshold: 0.3 });
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
    if (!this.root.isConnected) return this.computer.end(); // the cell has been run again
    if (this.lacksDensity && !this.computes("density")) this.requestDensity();
    const goesOn = this.computer.work(performance.now() + (this.playing ? 10 : 24));
    if (this.playing) this.advance(now);
    if (this.plane.clear()) draw(this);
    this.controls.update();
    if (this.playing || goesOn) this.show();
  }

  /** Whether the density that is due is not there. */
  get lacksDensity() {
    return this.settings.density && this.picture?.key !== this.dueDensity;
  }

  requestDensity() {
    const place = this.dueDensity, { label } = this;
    this.request("density", [place, label].join(), () => ({ place, label }));
  }

  advance(now) {
    const passed = this.lastFrame === null ? 0 : Math.min(100, now - this.lastFrame); // frames may stop for long
    this.lastFrame = now;
    const { cloud } = this.pending; // start when all points are there, unless that takes long
    if (this.progress === 0 && this.computes("cloud") && performance.now() < cloud.since + WAIT) return;
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
