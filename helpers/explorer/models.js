// Models: the book's flows and velocity fields, made of the weights that a page carries.
//
// What a model is made of is written by describe() in __init__.py; what it computes is what helpers/flows.py and
// helpers/matching.py compute. Points of a set lie in one Float64Array, x before y: [x0, y0, x1, y1, ...]. A ring
// is 0..4, or -1 for "any": the null class of a field that was trained with labels.
import { FieldOfPoints } from "./field_of_points.js";
import { FlowMap } from "./flow_map.js";
import { Network, weightReader, writeWaves } from "./network.js";

/** Keeps a, moves b. `move` returns the new b and leaves the log-determinant in `logDet`. */
class Coupling {
  constructor({ sizes, frequencies, waves }, classes, take) {
    Object.assign(this, { frequencies, waves, classes, logDet: 0 });
    this.network = new Network(sizes, "leaky", take);
    this.seen = new Float64Array(sizes[0]);
  }

  read(a, ring) {
    const { seen, frequencies } = this;
    seen.fill(0);
    seen[0] = a;
    writeWaves((Math.PI * a) / this.waves, frequencies, seen, 1, 1 + frequencies);
    if (this.classes) seen[1 + 2 * frequencies + ring] = 1;
    return this.network.run(seen);
  }
}

class AffineCoupling extends Coupling {
  constructor(spec, classes, take) {
    super(spec, classes, take);
    this.limit = spec.limit;
  }

  move(a, b, ring, backward) {
    const [raw, shift] = this.read(a, ring), logScale = this.limit * Math.tanh(raw);
    this.logDet = backward ? -logScale : logScale;
    return backward ? (b - shift) * Math.exp(-logScale) : b * Math.exp(logScale) + shift;
  }
}

/** b' = spline^-1(b) towards the data: the spline itself is written down from data to noise. */
class SplineCoupling extends Coupling {
  constructor(spec, classes, take) {
    super(spec, classes, take);
    Object.assign(this, { reach: spec.reach, least: spec.least, steepest: spec.steepest });
  }

  move(a, b, ring, backward) {
    this.logDet = 0;
    const { reach } = this;
    if (Math.abs(b) > reach) return b;
    const raw = this.read(a, ring), bins = (raw.length + 1) / 3;
    const widths = this.knots(raw.subarray(0, bins)), heights = this.knots(raw.subarray(bins, 2 * bins));
    const [from, to] = backward ? [widths, heights] : [heights, widths];
    let bin = 0;
    while (bin < bins - 1 && from[bin + 1] <= b) bin++;
    const slopeAt = (knot) =>
      knot % bins ? Math.exp(Math.max(-this.steepest, Math.min(this.steepest, raw[2 * bins + knot - 1]))) : 1;
    const d0 = slopeAt(bin), d1 = slopeAt(bin + 1);
    const width = widths[bin + 1] - widths[bin], height = heights[bin + 1] - heights[bin];
    const slope = height / width, bend = d0 + d1 - 2 * slope;
    const t = backward ? (b - from[bin]) / width : positionOf(b - from[bin], height, slope, bend, d0);
    const rest = 1 - t, ratio = slope / (slope + bend * t * rest);
    const logSlope = Math.log(ratio * ratio * (d1 * t * t + 2 * slope * t * rest + d0 * rest * rest));
    this.logDet = backward ? logSlope : -logSlope;
    return to[bin] + (backward ? height * (ratio * (t * t + (d0 / slope) * t * rest)) : width * t);
  }

  /** Where the knots stand: each bin takes at least the share `least` of the box. */
  knots(raw) {
    const most = Math.max(...raw), shares = Array.from(raw, (v) => Math.exp(v - most));
    const total = shares.reduce((sum, share) => sum + share), bins = raw.length, knots = [-this.reach];
    let sum = 0;
    shares.forEach((share, i) => {
      sum += share / total;
      knots.push(this.reach * (2 * (this.least * (i + 1) + (1 - this.least * bins) * sum) - 1));
    });
    knots[bins] = this.reach;
    return knots;
  }
}

/** Where in its bin, from 0 to 1, a spline has risen by `rise`: a root of a t^2 + b t = slope * rise. */
function positionOf(rise, height, slope, bend, d0) {
  const a = height * (slope - d0) + rise * bend, b = height * d0 - rise * bend;
  const root = Math.sqrt(Math.max(0, b * b + 4 * a * slope * rise));
  // Of the two forms of the root, the one that adds and does not subtract.
  const t = b < 0 ? (root - b) / (2 * a) : (2 * slope * rise) / (b + root);
  return Math.max(0, Math.min(1, t));
}

/** A chain of couplings with swaps in between, drawn in the axes of the data: the swaps are taken out. */
class Flow {
  constructor(spec) {
    const take = weightReader(spec.weights);
    this.isFlow = true;
    this.classes = spec.classes;
    this.box = spec.box; // the noise is uniform on [-box, box]^2; 0: it is normal
    // Without swaps, a coupling behind which an odd number of them is left keeps y and moves x.
    let left = spec.layers.filter((layer) => layer.kind === "swap").length;
    this.couplings = [];
    for (const layer of spec.layers) {
      if (layer.kind === "swap") left--;
      else {
        const kind = layer.kind === "affine" ? AffineCoupling : SplineCoupling;
        this.couplings.push({ layer: new kind(layer, spec.classes, take), keeps: left % 2 });
      }
    }
  }

  /** One coupling applied to all points, in place; adds its log-determinants where `logDet` is given. */
  pass(index, points, rings, backward, logDet) {
    const { layer, keeps } = this.couplings[index];
    for (let i = 0; i < points.length / 2; i++) {
      const moved = 2 * i + 1 - keeps;
      points[moved] = layer.move(points[2 * i + keeps], points[moved], rings[i], backward);
      if (logDet) logDet[i] += layer.logDet;
    }
  }

  /** Log-densities, in nats, of points after the first `count` couplings. */
  logDensity(points, rings, count = this.couplings.length) {
    const z = Float64Array.from(points), logDet = new Float64Array(points.length / 2);
    for (let k = count - 1; k >= 0; k--) this.pass(k, z, rings, true, logDet);
    return logDet.map((sum, i) => sum + this.logBase(z[2 * i], z[2 * i + 1]));
  }

  logBase(x, y) {
    if (!this.box) return -0.5 * (x * x + y * y) - Math.log(2 * Math.PI);
    return Math.max(Math.abs(x), Math.abs(y)) > this.box * (1 + 1e-9) ? -Infinity : -2 * Math.log(2 * this.box);
  }
}

/** A learned velocity field: a known part, and a network of sines and cosines of place and time. */
class Field {
  constructor(spec) {
    const { classes, frequencies, timeFrequencies, headStart } = spec;
    Object.assign(this, { classes, frequencies, timeFrequencies, headStart, box: 0, end: 1 });
    this.network = new Network(spec.sizes, spec.activation, weightReader(spec.weights));
    // At one time and with one label, what the first layer makes of these is a constant: kept, not repeated.
    this.ofPlace = 2 * (1 + 2 * frequencies); // inputs that tell the place
    const { weight, columns } = this.network.layers[0], rows = weight.length / columns;
    this.placeWeight = new Float64Array(rows * this.ofPlace);
    for (let row = 0; row < rows; row++) {
      this.placeWeight.set(weight.subarray(row * columns, row * columns + this.ofPlace), row * this.ofPlace);
    }
    this.starts = new Map();
    this.seen = new Float64Array(this.ofPlace);
  }

  firstLayer(t, ring) {
    const key = `${t} ${ring}`;
    if (!this.starts.has(key)) {
      if (this.starts.size > 4000) this.starts.clear();
      const { weight, bias, columns } = this.network.layers[0], waves = this.timeFrequencies;
      const told = new Float64Array(columns - this.ofPlace);
      told[0] = t;
      writeWaves(Math.PI * t, waves, told, 1, 1 + waves);
      if (this.classes) told[1 + 2 * waves + (ring < 0 ? this.classes : ring)] = 1;
      const sums = Float64Array.from(bias, (sum, row) => {
        for (let i = 0; i < told.length; i++) sum += weight[row * columns + this.ofPlace + i] * told[i];
        return sum;
      });
      this.starts.set(key, { columns: this.ofPlace, weight: this.placeWeight, bias: sums });
    }
    return this.starts.get(key);
  }

  velocities(points, t, rings, out) {
    const known = this.headStart ? (2 * t - 1) / (t * t + (1 - t) * (1 - t)) : 0;
    const waves = this.frequencies, { seen } = this;
    let ring, first;
    for (let i = 0; i < points.length; i += 2) {
      if (first === undefined || rings[i / 2] !== ring) first = this.firstLayer(t, (ring = rings[i / 2]));
      seen[0] = points[i];
      seen[1] = points[i + 1];
      writeWaves((Math.PI * points[i]) / 3, waves, seen, 2, 2 + 2 * waves);
      writeWaves((Math.PI * points[i + 1]) / 3, waves, seen, 2 + waves, 2 + 3 * waves);
      const v = this.network.run(seen, first);
      out[i] = known * points[i] + v[0];
      out[i + 1] = known * points[i + 1] + v[1];
    }
  }
}

/** The model that a page holds: a flow, a learned field, a flow map, or the field of a table of points. */
export function load(spec) {
  if (spec.kind === "empirical") return new FieldOfPoints(weightReader(spec.weights)(2 * spec.count), spec.offers);
  return new { flow: Flow, map: FlowMap, field: Field }[spec.kind](spec);
}
