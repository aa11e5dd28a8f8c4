// Controls: what stands around the plane, and what mouse, finger and keys do there.
//
// A figure is asked for what is seen, and told what is wanted: to play, to seek, to step, to place its point, to change.
import { sayAll, sayBusy, sayClock, sayPlace } from "./sentences.js";
import { CHOICES, OF_A_TABLE, SLIDERS } from "./settings.js";
import { WIDTH } from "./plane.js";

const PATIENCE = 400; // milliseconds after which the figure says that it computes
const HINTS = {
  mouse: "Drag the open circle, or click where it should go. Arrow keys move it too.",
  finger: "Drag the open circle with a finger, or tap where it should go.",
  keys: "Arrow keys move the open circle, with Shift in longer steps; Home puts it back.",
};

/** How many controls stand in the row of the i-th, if `count` are laid in even rows of `most` at most. */
function rowOf(i, count, most) {
  const rows = Math.ceil(count / most), short = Math.floor(count / rows), long = count - rows * short;
  return i < long * (short + 1) ? short + 1 : short;
}

function element(name, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties, made = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export class Controls {
  constructor(figure, label, names) {
    this.figure = figure;
    this.dragging = false;
    this.announcing = this.announced = null;
    this.build(label, names);
    this.listen();
  }

  build(label, names) {
    const { root } = this.figure;
    const button = (textContent, name) =>
      element("button", { type: "button", textContent, attributes: name ? { "aria-label": name } : {} });
    this.canvas = element("canvas", {
      tabIndex: 0, attributes: { role: "application", "aria-label": label, "aria-describedby": `${root.id}-hint` },
    });
    this.busy = element("span");
    this.stopButton = button("Stop");
    this.notice = element("div", { className: "fr-busy", hidden: true }, this.busy, this.stopButton);
    this.playButton = button("Play");
    this.backButton = button("◂", "One step back");
    this.onButton = button("▸", "One step on");
    this.slider = element("input", { type: "range", min: 0, max: 1 });
    this.clock = element("span", { className: "fr-clock" });
    const bar = element("div", { className: "fr-bar" }, this.backButton, this.playButton, this.onButton,
      element("div", { className: "fr-time" }, this.clock, this.slider));
    this.inputs = {};
    const choices = element("div", { className: "fr-choices" }, ...names.map((name) => this.control(name)));
    [...choices.children].forEach((choice, i) => {
      choice.style.setProperty("--wide", 60 / rowOf(i, names.length, 5));
      choice.style.setProperty("--narrow", 60 / rowOf(i, names.length, 3));
    });
    this.sentences = element("p", { className: "fr-said" });
    this.announcer = element("p", { className: "fr-hidden", attributes: { role: "status" } });
    const hints = Object.entries(HINTS).map(([means, textContent]) => element("span", { className: means, textContent }));
    const hint = element("p", { className: "fr-hint", id: `${root.id}-hint` }, ...hints);
    const plane = element("div", { className: "fr-plane" }, this.canvas, this.notice);
    const below = element("div", { className: "fr-below" }, bar, choices, this.sentences, hint, this.announcer);
    root.querySelector(".fr-live").replaceChildren(plane, below);
  }

  /** A slider, a box to tick, or a list of choices. */
  control(name) {
    const { figure } = this, { isFlow, isMap, offers } = figure.learned;
    if (SLIDERS[name]) {
      const [, values] = SLIDERS[name], text = element("span");
      const range = (this.inputs[name] = element("input", { type: "range", name, min: 0, max: values.length - 1 }));
      range.addEventListener("input", () => figure.change({ [name]: values[range.value] }));
      return element("label", {}, text, range);
    }
    if (!CHOICES[name]) {
      const box = (this.inputs[name] = element("input", { type: "checkbox", name }));
      box.addEventListener("change", () => figure.change({ [name]: box.checked }));
      return element("label", { className: "fr-tick" }, box, name === "density" && !isFlow ? "exact density" : name);
    }
    const steps = isMap ? "jumps" : figure.settings.level === null ? "steps" : "stirs";
    const [title, all] = CHOICES[name === "steps" ? steps : name], select = (this.inputs[name] = element("select", { name }));
    const values = name === "rows" ? offers.map((n) => [n, n === 1 ? "1 point" : `${n.toLocaleString("en")} points`])
      : all.filter(([value]) => value !== "return" || !isFlow);
    const texts = offers && name === "field" ? OF_A_TABLE : {};
    for (const [value, text] of values) select.append(element("option", { value, textContent: texts[value] ?? text }));
    select.addEventListener("change", () => figure.change({ [name]: values[select.selectedIndex][0] }));
    return element("label", {}, element("span", { textContent: title }), select);
  }

  listen() {
    const { figure, canvas } = this, { root, stillness } = figure;
    root.addEventListener("keydown", (event) => {
      event.stopPropagation(); // else a notebook takes them for its own
      if (event.key === "Escape" && figure.busy) figure.stop();
    });
    this.stopButton.addEventListener("click", () => (figure.busy ? figure.stop() : figure.goOn()));
    this.playButton.addEventListener("click", () => (figure.playing ? figure.pause() : figure.play()));
    this.backButton.addEventListener("click", () => figure.step(-1));
    this.onButton.addEventListener("click", () => figure.step(1));
    this.slider.addEventListener("input", () => figure.seek(Number(this.slider.value)));
    canvas.addEventListener("keydown", (event) => this.press(event));
    canvas.addEventListener("pointerdown", (event) => this.grasp(event));
    canvas.addEventListener("pointermove", (event) => this.dragging && this.placeUnder(event));
    canvas.addEventListener("lostpointercapture", () => (this.dragging = false));
    // A finger on the circle drags it; elsewhere it scrolls the page, and a tap moves the circle there.
    canvas.addEventListener("touchstart", (event) => {
      if (event.touches.length === 1 && this.isNear(event.touches[0])) event.preventDefault();
    }, { passive: false });
    // A click with no pointer behind it, as some aids send, says nothing about a place.
    canvas.addEventListener("click", (event) => event.detail && this.placeUnder(event));
    stillness.addEventListener("change", () => figure.pause());
    const size = new ResizeObserver(() => figure.show());
    const theme = new MutationObserver(() => {
      if (root.isConnected) return figure.show();
      size.disconnect(); // the cell has been run again
      theme.disconnect();
    });
    size.observe(canvas);
    const attributeFilter = ["class", "data-theme", "data-jp-theme-light"];
    for (const place of [document.documentElement, document.body]) theme.observe(place, { attributeFilter });
  }

  grasp(event) {
    if (event.button !== 0 || (event.pointerType !== "mouse" && !this.isNear(event))) return;
    this.dragging = true;
    this.canvas.setPointerCapture(event.pointerId);
    this.placeUnder(event);
  }

  placeUnder(event) {
    this.figure.place(...this.figure.plane.under(event));
  }

  /** Whether a pointer is near enough to the circle to mean it. */
  isNear(event, pixels = 32) {
    const { plane, settings } = this.figure, [x, y] = plane.under(event), { width } = this.canvas.getBoundingClientRect();
    return (Math.hypot(x - settings.x, y - settings.y) / WIDTH) * width < pixels;
  }

  press(event) {
    const { figure } = this, { x, y } = figure.settings, far = event.shiftKey ? 0.5 : 0.1;
    const to = {
      ArrowLeft: [x - far, y], ArrowRight: [x + far, y], ArrowUp: [x, y + far], ArrowDown: [x, y - far], Home: figure.home,
    }[event.key];
    if (!to) return;
    figure.place(...to);
    event.preventDefault();
  }

  /** Brings what can be chosen in line with the settings. */
  refresh() {
    const { settings, takesLabels } = this.figure;
    for (const [name, input] of Object.entries(this.inputs)) {
      if (SLIDERS[name]) this.refreshSlider(name, input);
      else if (input.type === "checkbox") input.checked = settings[name];
      else input.value = String(settings[name]);
      // Five labels have five fields: there is no one grid, and no one arrow.
      if (name === "grid" || name === "arrows") input.disabled = takesLabels && settings.ring < 0;
    }
  }

  refreshSlider(name, input) {
    const [title, values] = SLIDERS[name], value = this.figure.settings[name];
    input.value = values.indexOf(value);
    input.setAttribute("aria-valuetext", value);
    input.previousElementSibling.textContent = `${title} = ${value}`;
  }

  isOff(name) {
    return this.inputs[name]?.disabled;
  }

  /** Brings clock, slider and buttons in line with where the figure is, and the sentences with what is seen. */
  update() {
    const { figure } = this, { isFlow: layers, isMap } = figure.learned, clock = sayClock(figure);
    this.clock.textContent = clock;
    this.slider.step = layers ? 0.1 / figure.steps : 0.01;
    this.slider.value = figure.progress;
    this.slider.setAttribute("aria-label", layers ? "Coupling" : isMap ? "Jump" : "Time");
    this.slider.setAttribute("aria-valuetext", clock);
    this.playButton.textContent = figure.playing ? "Pause" : "Play";
    this.playButton.hidden = figure.stillness.matches; // who wants no motion has the steps
    // Not `disabled`, which would take the focus away at the end of the way.
    this.backButton.setAttribute("aria-disabled", figure.progress <= 0);
    this.onButton.setAttribute("aria-disabled", figure.progress >= 1);
    this.sentences.textContent = sayAll(figure);
    this.updateNotice();
    if (!figure.playing && !figure.busy) this.announce(`${clock}. ${sayPlace(figure)} ${this.sentences.textContent}`);
  }

  /** Says that something is being computed, once it takes long, and how to stop it. */
  updateNotice() {
    const { figure, notice } = this, tasks = Object.values(figure.pending), now = performance.now();
    const shown = tasks.find((task) => task.stopped || now > task.since + PATIENCE), hides = !shown && !notice.hidden;
    if (shown && notice.hidden) this.announce("Computing. Escape stops it.");
    if (hides && notice.contains(document.activeElement)) this.canvas.focus({ preventScroll: true });
    notice.hidden = !shown;
    if (!shown) return;
    this.busy.textContent = sayBusy(shown);
    this.stopButton.textContent = figure.busy ? "Stop" : "Go on";
  }

  /** Tells those who listen what is seen, once it has come to rest. */
  announce(text) {
    if (text === this.announced) return;
    this.announced = text;
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => (this.announcer.textContent = text), 500);
  }
}
