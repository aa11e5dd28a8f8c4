// Ways: every state of a figure's points, from the first to the last, and on which ring a way ends.
//
// The way of the point that is dragged, and of its companions, is computed at once. A cloud or a grid is computed
// in a generator that pauses often; what is there of it stands in the figure meanwhile.
import { normalPair, uniforms } from "./numbers.js";
import { finish, follow } from "./solvers.js";
import { CLOUD, NAMES } from "./settings.js";

const PART = 400; // points of the cloud that appear together
const HANDFUL = 36; // companions, at most
const CALLS = { euler: 1, midpoint: 2, rk4: 4 }; // of the field, for one step
const FINE = 100; // steps of the solution by which others are judged
const LINES = 13; // of the grid, each way
export const ALONG = 61; // points of each line

/** In parts: the first are shown while the others are on their way. */
export function* computeCloud(figure, about) {
  const { settings, takesLabels, steps } = figure, { points, labels } = sample(figure), rings = labels.slice();
  let states = [];
  for (let i = 0; i < CLOUD; i += PART) {
    const more = yield* follow(figure.model, points.slice(2 * i, 2 * (i + PART)), labels.slice(i, i + PART), settings);
    states = more.map((state, k) => Float64Array.of(...(states[k] ?? []), ...state));
    const data = settings.way === "backward" ? more[0] : more[steps];
    if (!takesLabels) for (let k = 0; k < PART; k++) rings[i + k] = nearest(figure, data[2 * k], data[2 * k + 1]);
    const byRing = NAMES.map((_, ring) => Array.from({ length: i + PART }, (_, k) => k).filter((k) => rings[k] === ring));
    figure.cloud = { ...about, key: i + PART < CLOUD ? null : about.key, states, byRing };
  }
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

/** Level and upright lines, over noise or over data. */
export function* computeGrid(figure, about) {
  const { settings, takesLabels } = figure, points = [], reach = settings.way === "backward" ? [2.4, 1.6] : [2.4, 2.4];
  for (const axis of [0, 1]) {
    for (let line = 0; line < LINES; line++) {
      for (let k = 0; k < ALONG; k++) {
        const across = reach[axis] * ((2 * line) / (LINES - 1) - 1), along = reach[1 - axis] * ((2 * k) / (ALONG - 1) - 1);
        points.push(...(axis ? [along, across] : [across, along]));
      }
    }
  }
  const labels = new Int8Array(points.length / 2).fill(takesLabels ? settings.ring : -1);
  figure.grid = { ...about, states: yield* follow(figure.model, points, labels, settings) };
}

/** The way of the point that is dragged, one for each label (these are the heroes), and those of its companions. */
export function trace(figure) {
  const { settings, takesLabels } = figure, { x, y, ring } = settings;
  const heroes = !takesLabels ? [-1] : ring >= 0 ? [ring] : [0, 1, 2, 3, 4];
  const points = heroes.flatMap(() => [x, y]), labels = [...heroes];
  // Fewer companions where each takes many calls of the field, so that a drag stays quick.
  const calls = figure.learned.isFlow ? 1 : figure.moves * CALLS[settings.method];
  const companions = settings.points === "handful" ? Math.min(HANDFUL, Math.max(8, Math.floor(2500 / calls))) : 0;
  for (let k = 0; k < companions; k++) {
    const away = 0.3 * Math.sqrt((k + 1) / companions), angle = 2.399963 * k; // the golden angle
    points.push(x + away * Math.cos(angle), y + away * Math.sin(angle));
    labels.push(heroes[k % heroes.length]);
  }
  const states = finish(follow(figure.model, points, Int8Array.from(labels), settings));
  const data = settings.way === "backward" ? states[0] : states[figure.steps];
  const colours = labels.map((label, i) =>
    figure.colours[takesLabels ? label : nearest(figure, data[2 * i], data[2 * i + 1])]);
  return { states, heroes, colours, ...fineSolution(figure, points, heroes, states.at(-1)) };
}

/** With many steps of RK4; null where it is not asked for, or is itself not exact enough to judge by. */
function fineSolution({ model, learned, exact, settings, judgesSteps }, points, heroes, end) {
  if (!judgesSteps || learned.isFlow || settings.way === "return") return { fine: null };
  const solve = (steps) => finish(follow(model, points.slice(0, 2 * heroes.length), Int8Array.from(heroes),
    { ...settings, method: "rk4", steps, late: 2 }));
  const worst = (a, b) => Math.max(...heroes.map((_, i) => apart(a, b, i)));
  const fine = solve(FINE), error = worst(end, fine.at(-1));
  const doubt = model === exact ? worst(solve(FINE / 2).at(-1), fine.at(-1)) : 0;
  return doubt > Math.max(0.1 * error, 1e-5) ? { fine: null } : { fine, error };
}

/** How far the i-th points of two states are from each other. */
export function apart(a, b, i) {
  return Math.hypot(a[2 * i] - b[2 * i], a[2 * i + 1] - b[2 * i + 1]);
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
