// The density as a picture: of a flow after any of its couplings, or of the exact path at any time.
import { HEIGHT, WIDTH } from "./plane.js";

const ROWS = 75, COLUMNS = Math.round((ROWS * WIDTH) / HEIGHT);

/** The pixels of a small picture; after each row it tells the share that is done. */
export function* computeDensity(models, { label, place }) {
  const pixels = new Uint8ClampedArray(4 * COLUMNS * ROWS);
  for (let row = 0; row < ROWS; row++) {
    const y = HEIGHT / 2 - (row + 0.5) * (HEIGHT / ROWS), points = [];
    for (let i = 0; i < COLUMNS; i++) points.push((i + 0.5) * (WIDTH / COLUMNS) - WIDTH / 2, y);
    logDensity(models, points, place, label).forEach((logP, i) => {
      // The highest density of the rings, three of them deep, is 0.6: nearly opaque.
      pixels.set([30, 135, 205, 255 * (1 - Math.exp(-4 * Math.exp(logP)))], 4 * (row * COLUMNS + i));
    });
    yield (row + 1) / ROWS;
  }
  return pixels;
}

/** Of one label, or, where a flow takes labels and none is chosen, of all five on average. */
function logDensity({ learned, exact }, points, place, label) {
  if (!learned.isFlow) {
    return Float64Array.from({ length: points.length / 2 }, (_, i) =>
      exact.logDensity(points[2 * i], points[2 * i + 1], Math.min(place, exact.end), label));
  }
  const each = (learned.classes && label < 0 ? [0, 1, 2, 3, 4] : [label]).map((one) =>
    learned.logDensity(points, new Int8Array(points.length / 2).fill(one), place));
  return each[0].map((_, i) => Math.log(each.reduce((sum, logP) => sum + Math.exp(logP[i]), 0) / each.length));
}

/** What the plane can show of it. */
export function asImage(pixels) {
  const image = Object.assign(document.createElement("canvas"), { width: COLUMNS, height: ROWS });
  image.getContext("2d").putImageData(new ImageData(pixels, COLUMNS, ROWS), 0, 0);
  return image;
}
