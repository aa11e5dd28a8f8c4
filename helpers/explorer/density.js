// The density as a picture: of a flow after any of its couplings, or of the exact path at any time.
import { HEIGHT, WIDTH } from "./plane.js";

/** A small picture, row by row, with a pause after each. */
export function* paintDensity(figure, key) {
  const columns = 102, rows = 75, label = figure.takesLabels ? figure.settings.ring : -1;
  const image = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
  const pen = image.getContext("2d"), pixels = pen.createImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    const y = HEIGHT / 2 - (row + 0.5) * (HEIGHT / rows), points = [];
    for (let i = 0; i < columns; i++) points.push((i + 0.5) * (WIDTH / columns) - WIDTH / 2, y);
    logDensity(figure, points, key, label).forEach((logP, i) => {
      // The highest density of the rings, three of them deep, is 0.6: nearly opaque.
      pixels.data.set([30, 135, 205, 255 * (1 - Math.exp(-4 * Math.exp(logP)))], 4 * (row * columns + i));
    });
    yield;
  }
  pen.putImageData(pixels, 0, 0);
  figure.picture = { key, label, image };
}

/** Of one label, or, where a flow takes labels and none is chosen, of all five on average. */
function logDensity({ learned, exact, takesLabels }, points, key, label) {
  if (!learned.isFlow) {
    return Float64Array.from({ length: points.length / 2 }, (_, i) =>
      exact.logDensity(points[2 * i], points[2 * i + 1], Math.min(key, exact.end), label));
  }
  const each = (takesLabels && label < 0 ? [0, 1, 2, 3, 4] : [label]).map((one) =>
    learned.logDensity(points, new Int8Array(points.length / 2).fill(one), key));
  return each[0].map((_, i) => Math.log(each.reduce((sum, logP) => sum + Math.exp(logP[i]), 0) / each.length));
}
