// Drawing: a figure at one place of the way, from the density at the bottom to the open circle on top.
import { HEIGHT, WIDTH } from "./plane.js";
import { ALONG, starOf } from "./ways.js";

export function draw(figure) {
  const { plane, picture, grid, settings } = figure;
  if (settings.density && picture) plane.picture(picture.image);
  if (settings.truth) drawRings(figure);
  if (grid) plane.lines(figure.now(grid.states), ALONG);
  if (settings.arrows && !figure.controls.isOff("arrows")) drawArrows(figure);
  if (figure.learned.offers) drawTable(figure);
  if (figure.cloud) drawCloud(figure);
  if (figure.controls.inputs.weight && settings.ring >= 0) plane.star(...starOf(figure, settings.ring));
  drawWays(figure);
}

function drawRings({ plane, rings, colours, settings }) {
  rings.centres.forEach(([a, b], ring) => {
    const chosen = settings.ring < 0 || settings.ring === ring;
    const style = { colour: colours[ring], opacity: chosen ? 0.9 : 0.35 };
    for (const radius of [rings.inner, rings.outer]) plane.circle(a, b, (radius * plane.unit) / plane.dot, style);
  });
}

/** The points of the table, as open squares: fainter where the field knows nothing of them. */
function drawTable({ plane, learned, settings: { rows, field } }) {
  const { table } = learned.first(rows), size = (rows > 200 ? 5 : 8) * plane.dot;
  plane.stroke((pen) => {
    for (let i = 0; i < table.length; i += 2) {
      pen.rect(plane.column(table[i]) - size / 2, plane.row(table[i + 1]) - size / 2, size, size);
    }
  }, { width: 1.2, opacity: field === "exact" ? 0.4 : rows > 200 ? 0.6 : 0.9 });
}

function drawCloud(figure) {
  const here = figure.now(figure.cloud.states), chosen = figure.settings.ring;
  figure.cloud.byRing.forEach((indices, ring) => {
    if (chosen < 0 || chosen === ring) figure.plane.squares(here, indices, figure.colours[ring]);
  });
  drawMisses(figure, here);
}

/** The points that a map takes far from their exact ends, in ink; once they are there, with lines to these. */
function drawMisses({ plane, cloud: { exact, missed }, progress }, here) {
  plane.squares(here, missed, plane.ink, 3.6);
  if (progress === 1) for (const i of missed) plane.way([here, exact], i, { width: 0.8, opacity: 0.6 });
}

function drawArrows(figure) {
  const points = [], rows = 13, columns = Math.round((rows * WIDTH) / HEIGHT);
  for (let i = 0; i < columns * rows; i++) {
    points.push(((i % columns) + 0.5 - columns / 2) * (WIDTH / columns));
    points.push((Math.floor(i / columns) + 0.5 - rows / 2) * (HEIGHT / rows));
  }
  figure.plane.arrows(points, motion(figure, Float64Array.from(points)));
}

/** The velocity at this time, or the way that the next layer moves points. */
function motion(figure, points) {
  const { model, learned, takesLabels, settings } = figure;
  const labels = new Int8Array(points.length / 2).fill(takesLabels ? settings.ring : -1);
  if (!learned.isFlow) {
    const velocities = new Float64Array(points.length);
    model.velocities(points, figure.time, labels, velocities);
    return velocities;
  }
  const moved = points.slice(), next = Math.min(Math.floor(figure.layer + 1e-6), figure.steps - 1);
  learned.pass(next, moved, labels, false);
  return moved.map((value, i) => value - points[i]);
}

function drawWays(figure) {
  const { plane, settings } = figure;
  if (figure.trace()) drawStates(figure);
  plane.circle(settings.x, settings.y, 9, { width: 2.5 });
}

function drawStates(figure) {
  const { plane } = figure, { states, heroes, colours } = figure.trace(), here = figure.now(states);
  for (let i = colours.length - 1; i >= heroes.length; i--) {
    drawWay(figure, states, i, { colour: colours[i], width: 0.9, opacity: 0.7 });
    plane.disc(here[2 * i], here[2 * i + 1], 2.6, colours[i], 0.9);
  }
  heroes.forEach((_, i) => drawHero(figure, i, here));
  if (figure.trace().exact) drawExactEnds(figure, here);
}

/** Crosses where the exact flow takes the points, and what is missing between, once they are there. */
function drawExactEnds({ plane, progress, traced: { exact, heroes } }, here) {
  for (let i = 0; i < exact.length / 2; i++) {
    plane.cross(exact[2 * i], exact[2 * i + 1], i < heroes.length ? 6 : 3.5, { width: i < heroes.length ? 2 : 1.4 });
    if (progress === 1) plane.way([here, exact], i, { width: 1.2 });
  }
}

/** The way there drawn through, the way back dashed. */
function drawWay({ plane, steps }, states, i, style) {
  plane.way(states.slice(0, steps + 1), i, style);
  if (states.length > steps + 1) plane.way(states.slice(steps), i, { ...style, dashes: [5, 4] });
}

function drawHero(figure, i, here) {
  const { plane } = figure, { states, colours, fine } = figure.trace();
  drawWay(figure, states, i, { colour: colours[i], width: 2.2 });
  if (fine) plane.way(fine, i, { dashes: [2, 3] });
  if (figure.moves <= 24) for (const state of states.slice(1)) plane.disc(state[2 * i], state[2 * i + 1], 1.8, colours[i]);
  plane.disc(here[2 * i], here[2 * i + 1], 5.5, colours[i]);
  plane.circle(here[2 * i], here[2 * i + 1], 6, { width: 1.2 });
}
