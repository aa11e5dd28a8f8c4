// Ways: what has to be computed of a figure's points, what is done with the results, and on which ring a way ends.
//
// A task says all that computing.js needs to know. The result is every state of the points, from the first to the last.
import { normalPair, uniforms } from "./numbers.js";
import { FINE, apart } from "./computing.js";
import { MISS } from "./flow_map.js";
import { CLOUD, NAMES } from "./settings.js";

const HANDFUL = 36; // companions, at most
const STIRRED = 4; // companions that start from the same place, where noise parts them
const EXACT = 150; // evaluations that an exact end costs
const CALLS = { euler: 1, midpoint: 2, rk4: 4 }; // of the field, for one step
const LINES = 13; // of the grid, each way
export const ALONG = 61; // points of each line
const CLOSE = Math.cos(Math.PI / 6); // of the star, as chapter 10 counts

export function cloudTask(figure) {
  return { ...sample(figure), settings: { ...figure.settings } };
}

/** Noise for the way to the data, data for the way back; the same at every visit. */
function sample({ model, settings, takesLabels, rings: { inner, outer, centres } }) {
  const uniform = uniforms(20_260), points = new Float64Array(2 * CLOUD), labels = new Int8Array(CLOUD).fill(-1);
  const { box, end = 1 } = model;
  for (let i = 0; i < CLOUD; i++) {
    const ring = takesLabels && settings.ring >= 0 ? settings.ring : i % 5;
    let [x, y] = normalPair(uniform);
    if (settings.way === "backward") {
      // A ring's area grows with the square of the radius. The exact field ends with a little noise left.
      const radius = Math.sqrt(inner ** 2 + uniform() * (outer ** 2 - inner ** 2)), angle = 2 * Math.PI * uniform();
      x = end * (centres[ring][0] + radius * Math.cos(angle)) + (1 - end) * x;
      y = end * (centres[ring][1] + radius * Math.sin(angle)) + (1 - end) * y;
    } else if (box) [x, y] = [box * (2 * uniform() - 1), box * (2 * uniform() - 1)];
    points.set([x, y], 2 * i);
    if (takesLabels) labels[i] = ring;
  }
  return { points, labels };
}

/** The points of a cloud that are there, in the order of their rings; its key is null until all are. */
export class Cloud {
  constructor(key, way) {
    Object.assign(this, { key: null, due: key, way, count: 0, states: [], byRing: NAMES.map(() => []) });
    Object.assign(this, { exact: null, missed: [] }); // of a map: the exact ends, and which points are far from them
  }

  /** Takes those from `first` on; those that came before, as after a break, it has. */
  add(figure, { first, states, exact }) {
    if (first !== this.count) return;
    const { takesLabels, settings, steps } = figure, data = settings.way === "backward" ? states[0] : states[steps];
    if (!this.all) this.all = states.map(() => new Float64Array(2 * CLOUD));
    states.forEach((state, k) => this.all[k].set(state, 2 * first));
    this.count += states[0].length / 2;
    this.states = this.all.map((state) => state.subarray(0, 2 * this.count));
    for (let i = first; i < this.count; i++) {
      const own = settings.ring >= 0 ? settings.ring : i % 5;
      this.byRing[takesLabels ? own : nearest(figure, data[2 * (i - first)], data[2 * (i - first) + 1])].push(i);
      if (exact && apart(data, exact, i - first) > MISS) this.missed.push(i);
    }
    if (exact) this.exact = Float64Array.from([...(this.exact ?? []), ...exact]);
  }
}

/** Level and upright lines, over noise or over data. */
export function gridTask({ settings, takesLabels }) {
  const points = [], reach = settings.way === "backward" ? [2.4, 1.6] : [2.4, 2.1];
  for (const axis of [0, 1]) {
    for (let line = 0; line < LINES; line++) {
      for (let k = 0; k < ALONG; k++) {
        const across = reach[axis] * ((2 * line) / (LINES - 1) - 1);
        const along = reach[1 - axis] * ((2 * k) / (ALONG - 1) - 1);
        points.push(...(axis ? [along, across] : [across, along]));
      }
    }
  }
  return { points, labels: new Int8Array(points.length / 2).fill(takesLabels ? settings.ring : -1), settings: { ...settings } };
}

/**
 * The point that is dragged, once for each label (these are the heroes), and its companions; whether the end is judged
 * beside a fine solution; and what that costs: how often a model is evaluated.
 */
export function wayTask(figure) {
  const { settings, takesLabels, learned, moves } = figure, { x, y, ring, method, level } = settings;
  const stirred = level !== null, once = learned.isFlow || learned.isMap || stirred;
  const heroes = !takesLabels ? [-1] : ring >= 0 ? [ring] : [0, 1, 2, 3, 4];
  const points = heroes.flatMap(() => [x, y]), labels = [...heroes];
  // Fewer companions where each takes many calls of the field, so that a drag stays quick.
  const calls = once ? moves : moves * CALLS[method];
  const most = learned.isFlow ? HANDFUL : Math.min(HANDFUL, Math.max(8, Math.floor(2500 / calls)));
  const companions = settings.points !== "handful" ? 0 : stirred ? STIRRED : most;
  for (let k = 0; k < companions; k++) {
    const away = stirred ? 0 : 0.3 * Math.sqrt((k + 1) / companions), angle = 2.399963 * k; // the golden angle
    points.push(x + away * Math.cos(angle), y + away * Math.sin(angle));
    labels.push(heroes[k % heroes.length]);
  }
  const judged = figure.judgesSteps && !once && settings.way !== "return";
  const fine = judged ? heroes.length * CALLS.rk4 * FINE * (settings.field === "exact" ? 1.5 : 1) : 0;
  const beside = learned.isMap ? labels.length * EXACT : fine;
  const evaluations = (labels.length * calls + beside) * (settings.weight === 1 ? 1 : 2);
  return { points, labels: Int8Array.from(labels), heroes, judged, evaluations, settings: { ...settings } };
}

/** What the figure keeps of such a way. */
export function readWay(figure, { points, labels, heroes }, { states, fine, error, exact }) {
  const data = figure.settings.way === "backward" ? states[0] : states[figure.steps];
  const colours = Array.from(labels, (label, i) =>
    figure.colours[figure.takesLabels ? label : nearest(figure, data[2 * i], data[2 * i + 1])]);
  return { start: [points[0], points[1]], states, heroes, colours, fine, error, exact };
}

/** The ring whose colour a point takes, by where it is in the data. */
function nearest({ rings, settings }, x, y) {
  if (!settings.truth) return 0;
  const middle = (rings.inner + rings.outer) / 2;
  const away = rings.centres.map(([a, b]) => Math.abs(Math.hypot(x - a, y - b) - middle));
  return away.indexOf(Math.min(...away));
}

/** Whether the i-th point of a state lies on a ring. */
export function isOn({ rings }, state, i, ring) {
  const [a, b] = rings.centres[ring], away = Math.hypot(state[2 * i] - a, state[2 * i + 1] - b);
  return away >= rings.inner && away <= rings.outer;
}

/** The place of a ring that is farthest from the middle of all: of the black one, the star. */
export function starOf({ rings }, ring) {
  const [a, b] = rings.centres[ring], far = 1 + (rings.inner + rings.outer) / 2 / Math.hypot(a, b);
  return [far * a, far * b];
}

/** Of the points that lie on a ring and on no other, the share within 30 degrees of its outermost place. */
export function shareNearStar(figure, state, ring) {
  const [a, b] = figure.rings.centres[ring], far = Math.hypot(a, b);
  let alone = 0, near = 0;
  for (let i = 0; i < state.length / 2; i++) {
    if (NAMES.some((_, c) => isOn(figure, state, i, c) !== (c === ring))) continue;
    const x = state[2 * i] - a, y = state[2 * i + 1] - b;
    alone++;
    if (x * a + y * b > CLOSE * far * Math.hypot(x, y)) near++;
  }
  return near / alone;
}

/** A ring's points, evenly by area. */
export function evenly({ rings: { centres, inner, outer } }, ring) {
  const state = [], [a, b] = centres[ring], around = 720, across = 24;
  for (let k = 0; k < around * across; k++) {
    const angle = (2 * Math.PI * ((k % around) + 0.5)) / around, even = (Math.floor(k / around) + 0.5) / across;
    const radius = Math.sqrt(inner ** 2 + even * (outer ** 2 - inner ** 2));
    state.push(a + radius * Math.cos(angle), b + radius * Math.sin(angle));
  }
  return state;
}
