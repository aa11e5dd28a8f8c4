// The worker: a second thread for what takes long, so that the page stays quick.
//
// It is made of the script's own text, as a page that is opened as a file may fetch none. Where that is forbidden, as
// some notebooks do, or the files are loaded one by one, the page computes for itself, a little in each frame.
import { Worklist } from "./computing.js";
import { ExactField } from "./exact_field.js";
import { load } from "./models.js";

const SLICE = 20, PAUSE = 100; // milliseconds between two looks for messages; and between two of the same share

/** The learned model of a page, and the exact field of its rings. */
export function loadModels({ model, rings }) {
  return { learned: load(model), exact: new ExactField(rings) };
}

/** What the worker does: the first message says what to load, every other one names a task. */
export function serve(scope) {
  const { port1, port2 } = new MessageChannel();
  let list, working = false, told = 0;
  const report = (message) => {
    const now = performance.now();
    if (!("part" in message) && now < told + PAUSE) return;
    told = now;
    scope.postMessage(message);
  };
  const goOn = () => {
    list.work(performance.now() + SLICE);
    working = list.jobs.size > 0;
    if (working) port2.postMessage(null); // behind the messages that have come meanwhile
  };
  port1.onmessage = goOn;
  scope.onmessage = ({ data: { spec, name, task } }) => {
    if (spec) list = new Worklist(loadModels(spec), report);
    else list.set(name, task);
    if (!working && list.jobs.size) goOn();
  };
}

let address; // of the script as a file, one for all figures of a page

/** Computes for one figure, in a worker where there is one. */
export class Computer {
  constructor(spec, models, report) {
    this.tasks = new Map();
    this.report = (message) => {
      if (message.done && this.tasks.get(message.name)?.key === message.key) this.tasks.delete(message.name);
      report(message);
    };
    this.models = models;
    this.spec = spec;
  }

  /** Begins with a task, in place of one of the same name; null: gives up. */
  ask(name, task) {
    if (task) this.tasks.set(name, task);
    else this.tasks.delete(name);
    if (this.list) this.list.set(name, task);
    else if (this.worker) this.worker.postMessage({ name, task });
    else if (task) this.begin();
  }

  begin() {
    try {
      const text = `(${fiveRings})().serve(self);`;
      this.worker = new Worker((address ??= URL.createObjectURL(new Blob([text], { type: "text/javascript" }))));
      this.worker.onmessage = ({ data }) => this.report(data);
      this.worker.onerror = () => this.computeHere();
      this.worker.postMessage({ spec: this.spec });
      for (const [name, task] of this.tasks) this.worker.postMessage({ name, task });
    } catch {
      this.computeHere();
    }
  }

  computeHere() {
    this.end();
    this.list = new Worklist(this.models, this.report);
    for (const [name, task] of this.tasks) this.list.set(name, task);
    this.report({});
  }

  /** Goes on until a time, where the page has to do it itself. Returns whether something is left to do here. */
  work(until) {
    if (this.tasks.size && !this.worker && !this.list) this.begin(); // the figure had been taken out, and is back
    this.list?.work(until);
    return this.list?.jobs.size > 0;
  }

  /** Lets the worker go. */
  end() {
    this.worker?.terminate();
    this.worker = null;
  }
}
