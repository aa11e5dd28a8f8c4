// Sentences: what a figure shows, in words, for those who see it and for those who listen to it.
import { apart } from "./computing.js";
import { MISS } from "./flow_map.js";
import { spreads } from "./noise.js";
import { METHODS, NAMES } from "./settings.js";
import { evenly, isOn, shareNearStar } from "./ways.js";

function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) ? `−${text}` : text;
}

const spot = (x, y) => `(${signed(x)}, ${signed(y)})`;
const small = (value) => (value < 1e-6 ? "less than 0.000001" : String(Number(value.toPrecision(2))));

const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u00a0%`;

/** What stands under the figure. */
export function sayAll(figure) {
  const about = { forward: sayForward, backward: sayBackward, return: sayReturn }[figure.settings.way];
  const way = figure.trace() ? about(figure) : [];
  const waiting = !figure.trace() || figure.computes("cloud") || figure.computes("grid");
  return [...way, waiting ? "Computing …" : sayCloud(figure)].filter(Boolean).join(" ");
}

/** How far along the way the figure is. */
export function sayClock(figure) {
  if (figure.learned.isMap) return `jump ${Math.round(figure.progress * figure.steps * 10) / 10} of ${figure.steps}`;
  if (figure.learned.isFlow) return `coupling ${Math.round(figure.layer * 10) / 10} of ${figure.steps}`;
  return `t = ${signed(figure.time)}`;
}

/** Where the point is that is dragged; nothing where it has five ways. */
export function sayPlace(figure) {
  const way = figure.trace(), here = way && figure.now(way.states);
  return !way || way.heroes.length > 1 ? "" : `The point is at ${spot(here[0], here[1])}.`;
}

function sayForward(figure) {
  const { settings } = figure, { start, states, heroes } = figure.trace(), end = states.at(-1), from = spot(...start);
  if (heroes.length > 1) {
    const arrived = heroes.filter((ring, i) => isOn(figure, end, i, ring)).length;
    return [`One start, ${from}, and five labels: ${arrived} of 5 ends lie on their own ring.`, sayError(figure)];
  }
  const rings = NAMES.filter((_, ring) => isOn(figure, end, 0, ring)).join(" and ");
  const where = !settings.truth ? "" : rings ? `, on ${rings}` : ", off the rings";
  const way = `The point starts at ${from} and ends at ${spot(end[0], end[1])}${where}.`;
  return [way, sayNearest(figure), sayError(figure), sayDensity(figure), sayMisses(figure), sayParted(figure)];
}

const isOnAny = (figure, state, i) => NAMES.some((_, ring) => isOn(figure, state, i, ring));
const middleOf = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** How far a map takes the point, and those around it, from where the exact flow does. */
function sayMisses(figure) {
  const { states, exact } = figure.trace(), end = states.at(-1), count = exact?.length / 2;
  if (!exact) return "";
  const hero = `The exact flow takes it to ${spot(exact[0], exact[1])}, ${small(apart(end, exact, 0))} from there.`;
  if (count === 1) return hero;
  const gaps = Array.from({ length: count }, (_, i) => apart(end, exact, i));
  const on = (state) => gaps.filter((_, i) => isOnAny(figure, state, i)).length;
  return `${hero} Of these ${count} points the map takes ${on(end)} onto a ring, and the exact flow ${on(exact)}; ` +
    `half of them miss their exact ends by less than ${small(middleOf([...gaps]))}, the worst by ${small(Math.max(...gaps))}.`;
}

/** How far noise parts the ways from one start. */
function sayParted(figure) {
  const { states } = figure.trace(), end = states.at(-1), count = end.length / 2;
  if (figure.settings.level === null || count === 1) return "";
  const all = Array.from({ length: count }, (_, i) => i);
  const far = Math.max(...all.flatMap((i) => all.map((j) => Math.hypot(end[2 * i] - end[2 * j], end[2 * i + 1] - end[2 * j + 1]))));
  if (far < 1e-9) return `All ${count} ways from there are one.`;
  const reached = NAMES.filter((_, ring) => all.some((i) => isOn(figure, end, i, ring))).length;
  return `The ${count} ways from there reach ${reached} of the five rings; the two ends farthest apart are ${small(far)} from each other.`;
}

function sayBackward(figure) {
  const { start, states, heroes } = figure.trace(), end = states.at(-1), from = spot(...start);
  const to = heroes.length > 1 ? "five places in the noise, one for each label" : `${spot(end[0], end[1])} in the noise`;
  return [`The point starts at ${from} and goes back to ${to}.`, sayError(figure)];
}

function sayReturn(figure) {
  const { start, states, heroes } = figure.trace();
  const gap = Math.max(...heroes.map((_, i) => apart(states.at(-1), states[0], i)));
  const who = heroes.length > 1 ? "The worst of its five ways comes" : "It comes";
  return [`The point starts at ${spot(...start)}. ${who} back ${small(gap)} from there.`];
}

function sayError(figure) {
  const { fine, error, heroes } = figure.trace(), subject = heroes.length > 1 ? "the worst end is" : "the end is";
  if (!fine) return "";
  const steps = figure.steps === 1 ? "1 step" : `${figure.steps} steps`;
  return `With ${steps} of ${METHODS[figure.settings.method]}, ${subject} ${small(error)} from the fine solution (dotted).`;
}

function sayDensity(figure) {
  const { learned } = figure, { states, heroes } = figure.trace();
  if (!learned.isFlow) return "";
  const logQ = learned.logDensity(states.at(-1).slice(0, 2), Int8Array.from(heroes))[0];
  return logQ === -Infinity ? "The density there is 0." : `Its log-density there is ${signed(logQ)} nats.`;
}

function nameTable(rows, which) {
  return rows === 1 ? "the one point of the table" : `${which} of the ${rows.toLocaleString("en")} points of the table`;
}

/** How near to a point of the table the point ends. */
function sayNearest(figure) {
  const { learned, settings: { rows } } = figure, [x, y] = figure.trace().states.at(-1);
  if (!learned.offers) return "";
  return `That is ${small(learned.first(rows).nearest(x, y).distance)} from ${nameTable(rows, "the nearest")}.`;
}

/** How near to the table most points end, and how many of its points are reached where the field is its own. */
function sayCopies({ learned, cloud, settings: { rows, field } }, end) {
  if (!learned.offers) return "";
  if (cloud.copied?.count !== cloud.count) {
    const table = learned.first(rows), place = (i) => table.nearest(end[2 * i], end[2 * i + 1]);
    const all = Array.from({ length: cloud.count }, (_, i) => place(i));
    const gaps = all.map(({ distance }) => distance).sort((a, b) => a - b);
    const middle = gaps[Math.floor(gaps.length / 2)], reached = new Set(all.map(({ index }) => index)).size;
    cloud.copied = { count: cloud.count, middle, reached };
  }
  const { middle, reached } = cloud.copied, most = `Half of all end within ${small(middle)} of ${nameTable(rows, "one")}`;
  return rows === 1 || field === "exact" ? `${most}.` : `${most}; ${reached.toLocaleString("en")} of these are reached.`;
}

function sayCloud(figure) {
  const { cloud, settings: { way, ring, truth }, takesLabels } = figure;
  if (!cloud || way === "backward" || !truth) return "";
  const { states, byRing } = cloud, end = states.at(-1);
  const shown = byRing.flatMap((indices, c) => (ring < 0 || ring === c ? indices.map((i) => [i, c]) : []));
  const many = shown.length.toLocaleString("en");
  if (way === "return") {
    return `Half of ${many} points come back within ${small(middleOf(shown.map(([i]) => apart(end, states[0], i))))}.`;
  }
  const arrived = takesLabels ? (i, c) => isOn(figure, end, i, c) : (i) => isOnAny(figure, end, i);
  const on = shown.filter(([i, c]) => arrived(i, c));
  const ended = `${percent(on.length / shown.length, 1)} end on ${takesLabels ? "their own" : "a"} ring.`;
  const more = [sayStar(figure, end), sayCopies(figure, end), sayMissed(figure, end), saySpread(figure)];
  return [`Of ${many} points, ${ended}`, ...more].filter(Boolean).join(" ");
}

/** How far a map takes a cloud from where the exact flow does. */
function sayMissed(figure, end) {
  const { exact, missed, count } = figure.cloud;
  if (!exact) return "";
  const all = Array.from({ length: count }, (_, i) => i), on = all.filter((i) => isOnAny(figure, exact, i)).length;
  return `Half miss their exact ends by less than ${small(middleOf(all.map((i) => apart(end, exact, i))))}, and ` +
    `${percent(missed.length / count, 1)} by more than ${MISS}, a ring's width (marked). Of the exact ends ` +
    `${percent(on / count, 1)} lie on a ring.`;
}

/** How wide a stirred crowd is, beside the exact path at the same time. */
function saySpread(figure) {
  const { cloud, settings: { level }, time } = figure;
  if (level === null) return "";
  const { found, exact } = spreads(figure, figure.now(cloud.states), time);
  return `At t = ${signed(time)} the root mean square of their distances from the middle is ${signed(found)}; ` +
    `that of the exact path is ${signed(exact)}.`;
}

/** How a guided cloud crowds on its ring. */
function sayStar(figure, end) {
  const { settings: { ring }, controls } = figure;
  if (!controls.inputs.weight || ring < 0) return "";
  const name = NAMES[ring];
  const place = name === "black" ? "the star" : "its outermost place", even = (figure.evenShares ??= {});
  even[ring] ??= shareNearStar(figure, evenly(figure, ring), ring);
  return `Of those on ${name} alone, ${percent(shareNearStar(figure, end, ring))} are within 30° of ${place}; ` +
    `evenly spread it would be ${percent(even[ring])}.`;
}

const COMPUTED = { way: "the way", density: "the density", cloud: "the points", grid: "the grid" };

/** What is being computed, or was when it was stopped, and how much of it is done. */
export function sayBusy({ name, share, stopped }) {
  return `${stopped ? "stopped at" : `computing ${COMPUTED[name]}:`} ${percent(share)}`;
}
