// The explorer: the book's trained flows, evaluated in the page. No server, no kernel, no library.
//
// helpers/explorer.py writes a model's weights and a figure's settings into the page, and calls
// FiveRings.mount. In this file, in order: numbers, models, the exact field, solvers, paths, the figure.
//
// Points of a set lie in one Float64Array, x before y: [x0, y0, x1, y1, ...]. A ring is 0..4, or -1 for
// "any": the null class of a field that was trained with labels. Time 0 is noise, time 1 is data.
window.FiveRings ??= (() => {
  "use strict";

  // ---------------------------------------------------------------------------------------- numbers

  /** exp(-z) I_n(z) for n = 0 and 1, z >= 0, to 3e-7. Source: Abramowitz and Stegun, 9.8.1 to 9.8.4. */
  const BESSEL = [
    {
      near: [1, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813],
      far: [0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281, -0.02057706, 0.02635537,
        -0.01647633, 0.00392377],
    },
    {
      near: [0.5, 0.87890594, 0.51498869, 0.15084934, 0.02658733, 0.00301532, 0.00032411],
      far: [0.39894228, -0.03988024, -0.00362018, 0.00163801, -0.01031555, 0.02282967, -0.02895312,
        0.01787654, -0.00420059],
    },
  ];

  function scaledBessel(order, z) {
    const { near, far } = BESSEL[order];
    if (z > 3.75) return polynomial(far, 3.75 / z) / Math.sqrt(z);
    return Math.exp(-z) * polynomial(near, (z / 3.75) ** 2) * (order ? z : 1);
  }

  function polynomial(coefficients, x) {
    let sum = 0;
    for (let i = coefficients.length - 1; i >= 0; i--) sum = sum * x + coefficients[i];
    return sum;
  }

  /** Nodes and weights on [-1, 1], by Newton's method on Legendre's polynomial. */
  function gaussLegendre(count) {
    const nodes = [], weights = [];
    for (let i = 0; i < count; i++) {
      let x = Math.cos((Math.PI * (i + 0.75)) / (count + 0.5)), slope = 1;
      for (let round = 0; round < 8; round++) { // more than it takes: digits double in each
        let [before, value] = [1, x];
        for (let k = 2; k <= count; k++) [before, value] = [value, ((2 * k - 1) * x * value - (k - 1) * before) / k];
        slope = (count * (before - x * value)) / (1 - x * x);
        x -= value / slope;
      }
      nodes.push(x);
      weights.push(2 / ((1 - x * x) * slope * slope));
    }
    return { nodes, weights };
  }

  /** Uniform numbers in (0, 1), the same at every visit. Source: Marsaglia, "Xorshift RNGs" (2003). */
  function uniforms(seed) {
    let state = seed;
    return () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return ((state >>> 0) + 0.5) / 2 ** 32;
    };
  }

  /** A pair of independent standard normal numbers, by Box and Muller's method. */
  function normalPair(uniform) {
    const radius = Math.sqrt(-2 * Math.log(uniform())), angle = 2 * Math.PI * uniform();
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  }

  // ----------------------------------------------------------------------------------------- models

  /** Hands out the weights of a file, one network after the other. */
  function weightReader(base64) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const all = Float64Array.from(new Float32Array(bytes.buffer));
    let used = 0;
    return (count) => all.subarray(used, (used += count));
  }

  const ACTIVATIONS = {
    leaky: (v) => (v > 0 ? v : 0.01 * v),
    silu: (v) => v / (1 + Math.exp(-v)),
  };

  /** A chain of linear layers, with an activation after each but the last. */
  class Network {
    constructor(sizes, activation, take) {
      this.activation = ACTIVATIONS[activation];
      this.layers = sizes.slice(1).map((rows, i) => ({
        columns: sizes[i], weight: take(sizes[i] * rows), bias: take(rows), out: new Float64Array(rows),
      }));
    }

    /** The numbers for one input. `first` may stand in for the first layer. They are overwritten by the next. */
    run(input, first = this.layers[0]) {
      let values = input;
      this.layers.forEach((layer, i) => {
        linear(i ? layer : first, values, layer.out);
        values = layer.out;
        if (i < this.layers.length - 1) for (let k = 0; k < values.length; k++) values[k] = this.activation(values[k]);
      });
      return values;
    }
  }

  /** out = weight input + bias. Four rows at a time: sums that do not wait for each other. */
  function linear({ columns, weight, bias }, input, out) {
    let row = 0;
    for (; row + 3 < out.length; row += 4) {
      const w0 = row * columns, w1 = w0 + columns, w2 = w1 + columns, w3 = w2 + columns;
      let a = bias[row], b = bias[row + 1], c = bias[row + 2], d = bias[row + 3];
      for (let i = 0; i < columns; i++) {
        const value = input[i];
        a += weight[w0 + i] * value;
        b += weight[w1 + i] * value;
        c += weight[w2 + i] * value;
        d += weight[w3 + i] * value;
      }
      out[row] = a;
      out[row + 1] = b;
      out[row + 2] = c;
      out[row + 3] = d;
    }
    for (; row < out.length; row++) {
      let sum = bias[row];
      for (let i = 0; i < columns; i++) sum += weight[row * columns + i] * input[i];
      out[row] = sum;
    }
  }

  /** Writes sin(k u) from out[sines] on and cos(k u) from out[cosines] on, for k = 1..count. */
  function writeWaves(u, count, out, sines, cosines) {
    const sin = Math.sin(u), cos = Math.cos(u);
    let s = sin, c = cos;
    for (let k = 0; k < count; k++) {
      out[sines + k] = s;
      out[cosines + k] = c;
      [s, c] = [s * cos + c * sin, c * cos - s * sin];
    }
  }

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
      const { classes, frequencies, timeFrequencies } = spec;
      Object.assign(this, { classes, frequencies, timeFrequencies, box: 0, end: 1 });
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
      const known = (2 * t - 1) / (t * t + (1 - t) * (1 - t)), waves = this.frequencies, { seen } = this;
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

  // -------------------------------------------------------------------------------- the exact field

  const FEW = gaussLegendre(16), MANY = gaussLegendre(36), TINY = 1e-300;

  /** The exact velocity and density of the straight path to the rings, as in helpers/path.py. */
  class ExactField {
    constructor({ centres, inner, outer }) {
      Object.assign(this, { centres, inner, outer, end: 0.995, box: 0, area: Math.PI * (outer ** 2 - inner ** 2) });
      this.logP = new Float64Array(5);
      this.radius = new Float64Array(5);
    }

    /** Of one ring, at distance d from its shrunken centre: log-density, and how far out the mean of x1 lies. */
    radial(d, t, ring) {
      const tau = 1 - t, moving = Math.max(t, TINY);
      const nearest = Math.max(this.inner, Math.min(this.outer, d / moving));
      const gap = d - t * nearest, fall = (8 * tau) ** 2;
      const width = fall / (Math.sqrt(gap * gap + fall) + Math.abs(gap)) / moving;
      const low = Math.max(this.inner - nearest, -width), high = Math.min(this.outer - nearest, width);
      const { nodes, weights } = t <= 0.95 ? FEW : MANY;
      let total = 0, outward = 0;
      for (let i = 0; i < nodes.length; i++) {
        const step = (low + high) / 2 + ((high - low) / 2) * nodes[i], rho = nearest + step;
        const z = (d * t * rho) / (tau * tau);
        const mass = weights[i] * rho * Math.exp((t * step * (2 * gap - t * step)) / (2 * tau * tau));
        total += mass * scaledBessel(0, z);
        outward += mass * rho * scaledBessel(1, z);
      }
      this.radius[ring] = outward / total;
      total *= (high - low) / 2;
      this.logP[ring] = Math.log(total) - (gap / tau) ** 2 / 2 - Math.log(this.area * tau * tau);
    }

    /** The log-density p_t at a point, of all rings (-1) or of one; leaves the parts of the mean behind. */
    logDensity(x, y, t, ring) {
      let most = -Infinity;
      for (let c = 0; c < 5; c++) {
        if (ring >= 0 && c !== ring) continue;
        this.radial(Math.hypot(x - t * this.centres[c][0], y - t * this.centres[c][1]), t, c);
        most = Math.max(most, this.logP[c]);
      }
      if (ring >= 0) return this.logP[ring];
      return most + Math.log(this.logP.reduce((sum, p) => sum + Math.exp(p - most), 0) / 5);
    }

    velocities(points, t, rings, out) {
      for (let i = 0; i < points.length; i += 2) {
        const x = points[i], y = points[i + 1], ring = rings[i / 2], logP = this.logDensity(x, y, t, ring);
        let meanX = 0, meanY = 0;
        for (let c = 0; c < 5; c++) {
          if (ring >= 0 && c !== ring) continue;
          const share = ring >= 0 ? 1 : Math.exp(this.logP[c] - logP) / 5;
          const [a, b] = this.centres[c], dx = x - t * a, dy = y - t * b;
          const away = Math.sqrt(dx * dx + dy * dy + TINY);
          meanX += share * (a + (this.radius[c] * dx) / away);
          meanY += share * (b + (this.radius[c] * dy) / away);
        }
        out[i] = (meanX - x) / (1 - t);
        out[i + 1] = (meanY - y) / (1 - t);
      }
    }
  }

  // ---------------------------------------------------------------------------------------- solvers

  /** Each takes points from time t to t + h, and calls the field once, twice and four times. */
  const SOLVERS = {
    euler: (call, x, t, h) => add(x, h, call(x, t)),
    midpoint: (call, x, t, h) => add(x, h, call(add(x, h / 2, call(x, t)), t + h / 2)),
    rk4: (call, x, t, h) => {
      const k1 = call(x, t), k2 = call(add(x, h / 2, k1), t + h / 2);
      const k3 = call(add(x, h / 2, k2), t + h / 2), k4 = call(add(x, h, k3), t + h);
      return x.map((value, i) => value + (h / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
    },
  };

  function add(x, h, v) {
    return x.map((value, i) => value + h * v[i]);
  }

  /** The times between which the steps run: equal for late = 1, crowded towards the end above it. */
  function stepTimes(steps, end, late) {
    return Array.from({ length: steps + 1 }, (_, k) => end * (1 - (1 - k / steps) ** late));
  }

  // ------------------------------------------------------------------------------------------ paths

  const CHUNK = 64; // points between two looks at the clock

  /**
   * All states of points on their way, as a generator that pauses often, so that a page stays quick.
   * way: "forward" from noise to data, "backward", or "return" there and back.
   */
  function* follow(model, points, rings, { way, method, steps, late }) {
    const count = model.isFlow ? model.couplings.length : steps;
    const times = model.isFlow ? [] : stepTimes(steps, model.end, late);
    const legs = { forward: [false], backward: [true], return: [false, true] }[way];
    const states = [Float64Array.from(points)];
    for (const backward of legs) {
      for (let k = 0; k < count; k++) {
        const index = backward ? count - 1 - k : k, next = states.at(-1).slice();
        const [from, to] = backward ? [index + 1, index] : [index, index + 1];
        for (let i = 0; i < rings.length; i += CHUNK) {
          const part = next.subarray(2 * i, 2 * (i + CHUNK)), labels = rings.subarray(i, i + CHUNK);
          if (model.isFlow) model.pass(index, part, labels, backward);
          else {
            const call = (x, t) => {
              const v = new Float64Array(x.length);
              model.velocities(x, t, labels, v);
              return v;
            };
            part.set(SOLVERS[method](call, Float64Array.from(part), times[from], times[to] - times[from]));
          }
          yield;
        }
        states.push(next);
      }
    }
    return states;
  }

  function finish(generator) {
    for (;;) {
      const { done, value } = generator.next();
      if (done) return value;
    }
  }

  /** The model that a page holds: a flow or a learned field. */
  function load(spec) {
    return spec.kind === "flow" ? new Flow(spec) : new Field(spec);
  }

  // -------------------------------------------------------------------------------------- the plane

  const WIDTH = 6.8, HEIGHT = 5.0; // of what is shown of the plane, with 0 in the middle

  /** A canvas that shows the plane, and the marks that are made on it. */
  class Plane {
    constructor(canvas) {
      this.canvas = canvas;
      this.pen = canvas.getContext("2d");
    }

    /** Makes the canvas as sharp as the screen, and empties it. Returns whether there is anything to draw on. */
    clear() {
      const width = this.canvas.clientWidth, ratio = Math.min(2, window.devicePixelRatio || 1);
      const pixels = Math.round(width * ratio);
      if (!pixels) return false;
      if (this.canvas.width !== pixels) {
        this.canvas.width = pixels;
        this.canvas.height = Math.round((pixels * HEIGHT) / WIDTH);
      }
      this.unit = pixels / WIDTH;
      this.dot = ratio * Math.max(0.75, Math.min(1, width / 600)); // a pixel of a wide page
      this.ink = getComputedStyle(this.canvas).color;
      this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
      return true;
    }

    column(x) {
      return this.canvas.width / 2 + x * this.unit;
    }

    row(y) {
      return this.canvas.height / 2 - y * this.unit;
    }

    /** Where in the plane a pointer is. */
    under({ clientX, clientY }) {
      const box = this.canvas.getBoundingClientRect();
      return [((clientX - box.left) / box.width - 0.5) * WIDTH, (0.5 - (clientY - box.top) / box.height) * HEIGHT];
    }

    /** Strokes what `trace` draws, in a colour, a width in dots, an opacity and dashes. */
    stroke(trace, { colour = this.ink, width = 1, opacity = 1, dashes = [] } = {}) {
      const { pen } = this;
      Object.assign(pen, { strokeStyle: colour, lineWidth: width * this.dot, globalAlpha: opacity, lineJoin: "round" });
      pen.setLineDash(dashes.map((length) => length * this.dot));
      pen.beginPath();
      trace(pen);
      pen.stroke();
      pen.setLineDash([]);
      pen.globalAlpha = 1;
    }

    /** An open circle with a radius in dots. */
    circle(x, y, radius, style) {
      this.stroke((pen) => pen.arc(this.column(x), this.row(y), radius * this.dot, 0, 2 * Math.PI), style);
    }

    disc(x, y, radius, colour, opacity = 1) {
      const { pen } = this;
      Object.assign(pen, { fillStyle: colour, globalAlpha: opacity });
      pen.beginPath();
      pen.arc(this.column(x), this.row(y), radius * this.dot, 0, 2 * Math.PI);
      pen.fill();
      pen.globalAlpha = 1;
    }

    /** The way of the i-th point through the states. */
    way(states, i, style) {
      this.stroke((pen) => {
        for (const state of states) pen.lineTo(this.column(state[2 * i]), this.row(state[2 * i + 1]));
      }, style);
    }

    /** Small squares: many points, fast. */
    squares(points, indices, colour) {
      const size = 2.4 * this.dot;
      this.pen.fillStyle = colour;
      for (const i of indices) {
        this.pen.fillRect(this.column(points[2 * i]) - size / 2, this.row(points[2 * i + 1]) - size / 2, size, size);
      }
    }

    /** Lines through points, `length` of them for each line. */
    lines(points, length) {
      this.stroke((pen) => {
        for (let i = 0; i < points.length / 2; i++) {
          pen[i % length ? "lineTo" : "moveTo"](this.column(points[2 * i]), this.row(points[2 * i + 1]));
        }
      }, { opacity: 0.5 });
    }

    /** An arrow at each point; its length tells the speed, up to a limit. */
    arrows(points, velocities) {
      this.stroke((pen) => {
        for (let i = 0; i < points.length; i += 2) {
          const [vx, vy] = [velocities[i], velocities[i + 1]], speed = Math.hypot(vx, vy);
          if (!(speed > 1e-3)) continue;
          const length = 0.34 * Math.tanh(speed / 1.5), dx = (vx / speed) * length, dy = (vy / speed) * length;
          const x = points[i] + dx / 2, y = points[i + 1] + dy / 2;
          pen.moveTo(this.column(x - dx), this.row(y - dy));
          pen.lineTo(this.column(x), this.row(y));
          for (const side of [-0.6, 0.6]) {
            pen.moveTo(this.column(x), this.row(y));
            pen.lineTo(this.column(x - 0.35 * (dx - side * dy)), this.row(y - 0.35 * (dy + side * dx)));
          }
        }
      }, { opacity: 0.6 });
    }

    /** A small picture, drawn large. */
    picture(image) {
      this.pen.globalAlpha = 0.7;
      this.pen.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
      this.pen.globalAlpha = 1;
    }
  }

  // ------------------------------------------------------------------------------------- the figure

  const CLOUD = 2000, PART = 400; // points, and how many of them appear together
  const HANDFUL = 36, SECONDS = 4, FINE = 100, LINES = 13, ALONG = 61;
  const NAMES = ["blue", "black", "red", "yellow", "green"];
  const CALLS = { euler: 1, midpoint: 2, rk4: 4 }; // of the field, for one step
  const METHODS = { euler: "Euler", midpoint: "Midpoint", rk4: "RK4" };
  const DEFAULTS = {
    points: "one", way: "forward", method: "rk4", steps: 12, late: 2, field: "learned", ring: -1,
    arrows: false, grid: false, density: false, truth: true, at: 1, x: -0.6, y: 1.6, autoplay: false,
  };
  /** What each list of choices is called, and its values with their texts. */
  const CHOICES = {
    points: ["Points", [["one", "one"], ["handful", "a handful"], ["cloud", CLOUD.toLocaleString("en")]]],
    way: ["Way", [["forward", "noise to data"], ["backward", "data to noise"], ["return", "there and back"]]],
    method: ["Solver", Object.entries(METHODS)],
    steps: ["Steps", [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64].map((n) => [n, n])],
    field: ["Field", [["learned", "learned"], ["exact", "exact"]]],
    ring: ["Ring", [[-1, "all"], ...NAMES.map((name, ring) => [ring, name])]],
  };

  const STYLE = `
    .fr-explorer { margin: 1.5rem 0; color: var(--pst-color-text-base, inherit); max-width: 42rem; }
    .fr-explorer svg, .fr-explorer canvas { display: block; width: 100%; height: auto; aspect-ratio: 6.8 / 5; }
    .fr-explorer canvas { touch-action: pan-y pinch-zoom; cursor: crosshair; border-radius: 4px;
      outline: 1px solid rgb(128 128 128 / 80%); user-select: none; -webkit-user-select: none;
      -webkit-touch-callout: none; }
    .fr-explorer :focus-visible { outline: 3px solid var(--pst-color-link, #0072b2); outline-offset: 1px; }
    .fr-bar { display: flex; flex-wrap: wrap; gap: 0.4rem 1rem; align-items: center; margin-top: 0.5rem;
      font-size: 0.9rem; line-height: 1.4; }
    .fr-bar label, .fr-time { display: inline-flex; gap: 0.4rem; align-items: center; min-height: 2rem; margin: 0; }
    .fr-time { flex: 1 1 12rem; font-variant-numeric: tabular-nums; }
    .fr-clock { min-width: 9.6em; }
    .fr-bar button, .fr-bar select { font: inherit; color: inherit; min-height: 2rem; min-width: 2.2rem;
      padding: 0.1rem 0.6rem; background: transparent; border: 1px solid currentColor; border-radius: 4px; }
    .fr-bar [aria-disabled="true"], .fr-bar label:has(:disabled) { opacity: 0.45; }
    .fr-bar select option { color: #14181e; background: #fff; }
    .fr-bar input[type="range"] { flex: 1; min-width: 6rem; height: 1.75rem; margin: 0; accent-color: #0072b2; }
    .fr-bar input[type="checkbox"] { width: 1.5rem; height: 1.5rem; margin: 0; accent-color: #0072b2; }
    .fr-said { min-height: 4.2em; margin: 0.5rem 0 0; font-size: 0.9rem; line-height: 1.4;
      font-variant-numeric: tabular-nums; }
    .fr-hint { margin: 0.25rem 0 0; font-size: 0.85rem; color: var(--pst-color-text-muted, inherit); }
    .fr-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
    @media (max-width: 30rem) { .fr-said { min-height: 5.8em; } }
    @media (pointer: coarse) { .fr-bar button, .fr-bar select, .fr-bar label { min-height: 2.75rem; } }
    @media print { .fr-bar, .fr-hint { display: none; } }`;

  function element(name, properties = {}, ...children) {
    const { attributes = {}, ...rest } = properties, made = Object.assign(document.createElement(name), rest);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function signed(value, digits = 2) {
    const text = Math.abs(value).toFixed(digits);
    return value < 0 && Number(text) ? `−${text}` : text;
  }

  const spot = (x, y) => `(${signed(x)}, ${signed(y)})`;
  const small = (value) => (value < 1e-6 ? "less than 0.000001" : String(Number(value.toPrecision(2))));
  const apart = (a, b, i) => Math.hypot(a[2 * i] - b[2 * i], a[2 * i + 1] - b[2 * i + 1]);

  /**
   * The figure. Its parts, in order: controls, changes, computations, time, drawing, sentences.
   *
   * A cloud or a grid is computed in a generator, a little in each frame; the way of the point that is dragged,
   * and of its companions, at once. `progress` runs from 0 to 1 over the whole way, there and back included.
   */
  class Explorer {
    constructor(root, { model, rings, colours, label, controls, start }) {
      Object.assign(this, { root, rings, colours });
      this.learned = load(model);
      this.exact = new ExactField(rings);
      this.takesLabels = this.learned.classes > 0; // else a ring chooses what is shown, and no model hears of it
      this.judgesSteps = controls.includes("steps"); // whether the error of the steps is a subject here
      this.settings = { ...DEFAULTS, ...start };
      this.progress = this.settings.at;
      this.home = [this.settings.x, this.settings.y];
      this.cloud = this.grid = this.picture = this.traced = null; // what has been computed
      this.job = this.jobKey = this.painting = null; // what is being computed
      this.playing = this.dragging = false;
      this.frame = this.lastFrame = this.announcing = this.announced = null;
      this.stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
      this.build(label, controls);
      this.listen();
      this.refresh();
      if (this.settings.autoplay && !this.stillness.matches) this.playWhenSeen();
      root.dataset.ready = "true";
    }

    get model() {
      return this.settings.field === "exact" ? this.exact : this.learned;
    }

    /** Steps, or layers, of one leg of the way; and of the whole way. */
    get steps() {
      return this.learned.isFlow ? this.learned.couplings.length : this.settings.steps;
    }

    get moves() {
      return this.settings.way === "return" ? 2 * this.steps : this.steps;
    }

    // Controls.

    build(label, controls) {
      const { id } = this.root;
      const button = (text, name) => element("button", { type: "button", textContent: text, attributes: { "aria-label": name } });
      this.canvas = element("canvas", {
        tabIndex: 0, attributes: { role: "application", "aria-label": label, "aria-describedby": `${id}-hint` },
      });
      this.plane = new Plane(this.canvas);
      this.playButton = element("button", { type: "button", textContent: "Play" });
      this.backButton = button("◂", "One step back");
      this.onButton = button("▸", "One step on");
      this.slider = element("input", { type: "range", min: 0, max: 1 });
      this.clock = element("span", { className: "fr-clock" });
      const bar = element("div", { className: "fr-bar" }, this.backButton, this.playButton, this.onButton,
        element("div", { className: "fr-time" }, this.clock, this.slider));
      this.inputs = {};
      const choices = element("div", { className: "fr-bar" }, ...controls.map((name) => this.control(name)));
      this.sentences = element("p", { className: "fr-said" });
      this.announcer = element("p", { className: "fr-hidden", attributes: { role: "status" } });
      const hint = element("p", { className: "fr-hint", id: `${id}-hint`, textContent:
        "Drag the open circle, or tap where it should go; with the keyboard, arrow keys move it, " +
        "with Shift in longer steps, and Home puts it back." });
      this.root.replaceChildren(this.canvas, bar, choices, this.sentences, hint, this.announcer);
    }

    control(name) {
      if (!CHOICES[name]) {
        const box = (this.inputs[name] = element("input", { type: "checkbox", name }));
        box.addEventListener("change", () => this.change({ [name]: box.checked }));
        return element("label", {}, box, name === "density" && !this.learned.isFlow ? "exact density" : name);
      }
      const [title, all] = CHOICES[name], select = (this.inputs[name] = element("select", { name }));
      const values = all.filter(([value]) => value !== "return" || !this.learned.isFlow);
      for (const [value, text] of values) select.append(element("option", { value, textContent: text }));
      select.addEventListener("change", () => this.change({ [name]: values[select.selectedIndex][0] }));
      return element("label", {}, title, select);
    }

    listen() {
      const { canvas, root } = this;
      root.addEventListener("keydown", (event) => event.stopPropagation()); // else a notebook takes them for its own
      this.playButton.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
      this.backButton.addEventListener("click", () => this.step(-1));
      this.onButton.addEventListener("click", () => this.step(1));
      this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
      canvas.addEventListener("keydown", (event) => this.press(event));
      canvas.addEventListener("pointerdown", (event) => this.grasp(event));
      canvas.addEventListener("pointermove", (event) => this.dragging && this.place(...this.plane.under(event)));
      canvas.addEventListener("lostpointercapture", () => (this.dragging = false));
      // A finger on the circle drags it; elsewhere it scrolls the page, and a tap moves the circle there.
      canvas.addEventListener("touchstart", (event) => {
        if (event.touches.length === 1 && this.isNear(event.touches[0])) event.preventDefault();
      }, { passive: false });
      // A click with no pointer behind it, as some aids send, says nothing about a place.
      canvas.addEventListener("click", (event) => event.detail && this.place(...this.plane.under(event)));
      this.stillness.addEventListener("change", () => this.pause());
      const size = new ResizeObserver(() => this.show());
      const theme = new MutationObserver(() => {
        if (root.isConnected) return this.show();
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
      this.place(...this.plane.under(event));
    }

    /** Whether a pointer is near enough to the circle to mean it. */
    isNear(event, pixels = 32) {
      const [x, y] = this.plane.under(event), { width } = this.canvas.getBoundingClientRect();
      return (Math.hypot(x - this.settings.x, y - this.settings.y) / WIDTH) * width < pixels;
    }

    press(event) {
      const far = event.shiftKey ? 0.5 : 0.1, { x, y } = this.settings;
      const to = {
        ArrowLeft: [x - far, y], ArrowRight: [x + far, y], ArrowUp: [x, y + far], ArrowDown: [x, y - far], Home: this.home,
      }[event.key];
      if (!to) return;
      this.place(...to);
      event.preventDefault();
    }

    // Changes.

    /** Moves the start of the way; noise that is uniform on a box has nothing outside. */
    place(x, y) {
      const box = this.settings.way === "forward" && this.model.box ? this.model.box : Infinity;
      const within = (value, size) => Math.max(-Math.min(size / 2, box), Math.min(size / 2, box, value));
      Object.assign(this.settings, { x: within(x, WIDTH), y: within(y, HEIGHT) });
      this.traced = null;
      this.show();
    }

    change(settings) {
      const [x, y] = this.trace().states[this.steps]; // where the point is after the first leg
      const turned = settings.way && (settings.way === "backward") !== (this.settings.way === "backward");
      Object.assign(this.settings, settings);
      // Go back from where the point has arrived, if the plane shows it.
      if (turned && Math.abs(x) < WIDTH / 2 && Math.abs(y) < HEIGHT / 2) this.place(x, y);
      this.refresh();
    }

    /** Brings controls in line with the settings, and computes anew what depends on what has changed. */
    refresh() {
      const { points, way, method, steps, field, ring, grid } = this.settings;
      for (const [name, input] of Object.entries(this.inputs)) {
        if (input.type === "checkbox") input.checked = this.settings[name];
        else input.value = String(this.settings[name]);
        // Five labels have five fields: there is no one grid, and no one arrow.
        if (name === "grid" || name === "arrows") input.disabled = this.takesLabels && ring < 0;
      }
      this.traced = null;
      const label = this.takesLabels ? ring : -1, key = [way, method, steps, field, label].join();
      const wanted = { cloud: points === "cloud", grid: grid && !this.inputs.grid?.disabled };
      const due = Object.keys(wanted).filter((name) => wanted[name] && this[name]?.key !== key);
      for (const name in wanted) {
        if (!wanted[name] || (this[name] && this[name].way !== way)) this[name] = null;
      }
      if (!due.length) this.job = null;
      else if (!this.job || this.jobKey !== key + due) this.job = this.compute(due, { key, way });
      this.jobKey = key + due;
      if (this.picture?.label !== label) this.picture = this.painting = null;
      this.show();
    }

    // Computations.

    *compute(names, about) {
      for (const name of names) yield* name === "cloud" ? this.computeCloud(about) : this.computeGrid(about);
    }

    /** In parts: the first are shown while the others are on their way. */
    *computeCloud(about) {
      const { points, labels } = this.sample(), rings = labels.slice(), legs = this.steps;
      let states = [];
      for (let i = 0; i < CLOUD; i += PART) {
        const more = yield* follow(this.model, points.slice(2 * i, 2 * (i + PART)), labels.slice(i, i + PART), this.settings);
        states = more.map((state, k) => Float64Array.of(...(states[k] ?? []), ...state));
        const data = this.settings.way === "backward" ? more[0] : more[legs];
        if (!this.takesLabels) for (let k = 0; k < PART; k++) rings[i + k] = this.nearest(data[2 * k], data[2 * k + 1]);
        const byRing = NAMES.map((_, ring) => Array.from({ length: i + PART }, (_, k) => k).filter((k) => rings[k] === ring));
        this.cloud = { ...about, key: i + PART < CLOUD ? null : about.key, states, byRing };
      }
    }

    /** Noise for the way to the data, data for the way back; the same at every visit. */
    sample() {
      const uniform = uniforms(20_260), points = new Float64Array(2 * CLOUD), labels = new Int8Array(CLOUD).fill(-1);
      const { inner, outer, centres } = this.rings, { box, end = 1 } = this.model;
      for (let i = 0; i < CLOUD; i++) {
        const ring = this.takesLabels && this.settings.ring >= 0 ? this.settings.ring : i % 5;
        let [x, y] = normalPair(uniform);
        if (this.settings.way === "backward") {
          // A ring's area grows with the square of the radius. The exact field ends with a little noise left.
          const radius = Math.sqrt(inner ** 2 + uniform() * (outer ** 2 - inner ** 2)), angle = 2 * Math.PI * uniform();
          x = end * (centres[ring][0] + radius * Math.cos(angle)) + (1 - end) * x;
          y = end * (centres[ring][1] + radius * Math.sin(angle)) + (1 - end) * y;
        } else if (box) [x, y] = [box * (2 * uniform() - 1), box * (2 * uniform() - 1)];
        points.set([x, y], 2 * i);
        if (this.takesLabels) labels[i] = ring;
      }
      return { points, labels };
    }

    *computeGrid(about) {
      const points = [], reach = this.settings.way === "backward" ? [2.4, 1.6] : [2.4, 2.4];
      for (const axis of [0, 1]) {
        for (let line = 0; line < LINES; line++) {
          for (let k = 0; k < ALONG; k++) {
            const across = reach[axis] * ((2 * line) / (LINES - 1) - 1), along = reach[1 - axis] * ((2 * k) / (ALONG - 1) - 1);
            points.push(...(axis ? [along, across] : [across, along]));
          }
        }
      }
      const labels = new Int8Array(points.length / 2).fill(this.takesLabels ? this.settings.ring : -1);
      this.grid = { ...about, states: yield* follow(this.model, points, labels, this.settings) };
    }

    /** The way of the point that is dragged, one for each label, and of its companions; kept until something changes. */
    trace() {
      if (this.traced) return this.traced;
      const { x, y, ring, points: choice } = this.settings;
      const heroes = !this.takesLabels ? [-1] : ring >= 0 ? [ring] : [0, 1, 2, 3, 4];
      const points = heroes.flatMap(() => [x, y]), labels = [...heroes];
      // Fewer companions where each takes many calls of the field, so that a drag stays quick.
      const calls = this.learned.isFlow ? 1 : this.moves * CALLS[this.settings.method];
      const companions = choice === "handful" ? Math.min(HANDFUL, Math.max(8, Math.floor(2500 / calls))) : 0;
      for (let k = 0; k < companions; k++) {
        const away = 0.3 * Math.sqrt((k + 1) / companions), angle = 2.399963 * k; // the golden angle
        points.push(x + away * Math.cos(angle), y + away * Math.sin(angle));
        labels.push(heroes[k % heroes.length]);
      }
      const states = finish(follow(this.model, points, Int8Array.from(labels), this.settings));
      const data = this.settings.way === "backward" ? states[0] : states[this.steps];
      const colours = labels.map((label, i) =>
        this.colours[this.takesLabels ? label : this.nearest(data[2 * i], data[2 * i + 1])]);
      return (this.traced = { states, heroes, colours, ...this.fineSolution(points, heroes, states.at(-1)) });
    }

    /** With many steps of RK4; null where it is not asked for, or is itself not exact enough to judge by. */
    fineSolution(points, heroes, end) {
      if (!this.judgesSteps || this.learned.isFlow || this.settings.way === "return") return { fine: null };
      const solve = (steps) => finish(follow(this.model, points.slice(0, 2 * heroes.length), Int8Array.from(heroes),
        { ...this.settings, method: "rk4", steps, late: 2 }));
      const worst = (a, b) => Math.max(...heroes.map((_, i) => apart(a, b, i)));
      const fine = solve(FINE), error = worst(end, fine.at(-1));
      const doubt = this.model === this.exact ? worst(solve(FINE / 2).at(-1), fine.at(-1)) : 0;
      return doubt > Math.max(0.1 * error, 1e-5) ? { fine: null } : { fine, error };
    }

    /** The ring whose colour a point takes, by where it is in the data. */
    nearest(x, y) {
      if (!this.settings.truth) return 0;
      const middle = (this.rings.inner + this.rings.outer) / 2;
      const away = this.rings.centres.map(([a, b]) => Math.abs(Math.hypot(x - a, y - b) - middle));
      return away.indexOf(Math.min(...away));
    }

    isOn(state, i, ring) {
      const [a, b] = this.rings.centres[ring], away = Math.hypot(state[2 * i] - a, state[2 * i + 1] - b);
      return away >= this.rings.inner && away <= this.rings.outer;
    }

    /** Which density is due: that of a layer, or of the exact path at a time. */
    get dueDensity() {
      return this.learned.isFlow ? Math.round(this.layer) : Math.round(this.time * 200) / 200;
    }

    /** The density as a small picture, row by row. */
    *paint(key) {
      const columns = 102, rows = 75, image = element("canvas", { width: columns, height: rows });
      const pen = image.getContext("2d"), pixels = pen.createImageData(columns, rows);
      const label = this.takesLabels ? this.settings.ring : -1;
      for (let row = 0; row < rows; row++) {
        const y = HEIGHT / 2 - (row + 0.5) * (HEIGHT / rows), points = [];
        for (let i = 0; i < columns; i++) points.push((i + 0.5) * (WIDTH / columns) - WIDTH / 2, y);
        this.logDensity(points, key, label).forEach((logP, i) => {
          // The highest density of the rings, three of them deep, is 0.6: nearly opaque.
          pixels.data.set([30, 135, 205, 255 * (1 - Math.exp(-4 * Math.exp(logP)))], 4 * (row * columns + i));
        });
        yield;
      }
      pen.putImageData(pixels, 0, 0);
      this.picture = { key, label, image };
    }

    logDensity(points, key, label) {
      if (!this.learned.isFlow) {
        return Float64Array.from({ length: points.length / 2 }, (_, i) =>
          this.exact.logDensity(points[2 * i], points[2 * i + 1], Math.min(key, this.exact.end), label));
      }
      const each = (this.takesLabels && label < 0 ? [0, 1, 2, 3, 4] : [label]).map((one) =>
        this.learned.logDensity(points, new Int8Array(points.length / 2).fill(one), key));
      return each[0].map((_, i) => Math.log(each.reduce((sum, logP) => sum + Math.exp(logP[i]), 0) / each.length));
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
      }, { threshold: 0.6 });
      eye.observe(this.canvas);
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
      this.work(performance.now() + (this.playing ? 10 : 24));
      if (this.playing) this.advance(now);
      if (this.plane.clear()) this.draw();
      this.updateControls();
      this.say();
      const stale = this.settings.density && this.picture?.key !== this.dueDensity;
      if (this.playing || this.job || this.painting || stale) this.show();
    }

    /** Goes on with what is being computed, until a time. */
    work(until) {
      if (this.settings.density && this.picture?.key !== this.dueDensity) this.painting ??= this.paint(this.dueDensity);
      for (const name of ["painting", "job"]) {
        while (this[name] && performance.now() < until) if (this[name].next().done) this[name] = null;
      }
    }

    advance(now) {
      const passed = this.lastFrame === null ? 0 : Math.min(100, now - this.lastFrame); // frames may stop for long
      this.lastFrame = now;
      if (this.progress === 0 && this.job) return; // start when all points are there
      this.progress = Math.min(1, this.progress + passed / 1000 / SECONDS / (this.settings.way === "return" ? 2 : 1));
      if (this.progress >= 1) this.playing = false;
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

    /** Points at this place of the way: between two states on the straight line. */
    now(states) {
      const leg = this.progress * (states.length - 1), k = Math.min(Math.floor(leg), states.length - 2);
      return states[k].map((value, i) => value + (leg - k) * (states[k + 1][i] - value));
    }

    // Drawing.

    draw() {
      const { density, truth, arrows } = this.settings;
      if (density && this.picture) this.plane.picture(this.picture.image);
      if (truth) this.drawRings();
      if (this.grid) this.plane.lines(this.now(this.grid.states), ALONG);
      if (arrows && !this.inputs.arrows?.disabled) this.drawArrows();
      if (this.cloud) this.drawCloud();
      this.drawWays();
    }

    drawRings() {
      this.rings.centres.forEach(([a, b], ring) => {
        const chosen = this.settings.ring < 0 || this.settings.ring === ring;
        const style = { colour: this.colours[ring], opacity: chosen ? 0.9 : 0.35 };
        for (const radius of [this.rings.inner, this.rings.outer]) {
          this.plane.circle(a, b, (radius * this.plane.unit) / this.plane.dot, style);
        }
      });
    }

    drawCloud() {
      const here = this.now(this.cloud.states);
      this.cloud.byRing.forEach((indices, ring) => {
        if (this.settings.ring < 0 || this.settings.ring === ring) this.plane.squares(here, indices, this.colours[ring]);
      });
    }

    drawArrows() {
      const points = [], columns = 18, rows = 13;
      for (let i = 0; i < columns * rows; i++) {
        points.push(((i % columns) + 0.5 - columns / 2) * (WIDTH / columns));
        points.push((Math.floor(i / columns) + 0.5 - rows / 2) * (HEIGHT / rows));
      }
      this.plane.arrows(points, this.motion(Float64Array.from(points)));
    }

    /** The velocity at this time, or the way that the next layer moves points. */
    motion(points) {
      const labels = new Int8Array(points.length / 2).fill(this.takesLabels ? this.settings.ring : -1);
      if (!this.learned.isFlow) {
        const velocities = new Float64Array(points.length);
        this.model.velocities(points, this.time, labels, velocities);
        return velocities;
      }
      const moved = points.slice(), next = Math.min(Math.floor(this.layer + 1e-6), this.steps - 1);
      this.learned.pass(next, moved, labels, false);
      return moved.map((value, i) => value - points[i]);
    }

    drawWays() {
      const { states, heroes, colours } = this.trace(), here = this.now(states);
      for (let i = colours.length - 1; i >= heroes.length; i--) {
        this.drawWay(states, i, { colour: colours[i], width: 0.9, opacity: 0.7 });
        this.plane.disc(here[2 * i], here[2 * i + 1], 2.6, colours[i], 0.9);
      }
      heroes.forEach((_, i) => this.drawHero(i, here));
      this.plane.circle(this.settings.x, this.settings.y, 9, { width: 2.5 });
    }

    /** The way there drawn through, the way back dashed. */
    drawWay(states, i, style) {
      this.plane.way(states.slice(0, this.steps + 1), i, style);
      if (states.length > this.steps + 1) this.plane.way(states.slice(this.steps), i, { ...style, dashes: [5, 4] });
    }

    drawHero(i, here) {
      const { states, colours, fine } = this.trace();
      this.drawWay(states, i, { colour: colours[i], width: 2.2 });
      if (fine) this.plane.way(fine, i, { dashes: [2, 3] });
      if (this.moves <= 24) for (const state of states.slice(1)) this.plane.disc(state[2 * i], state[2 * i + 1], 1.8, colours[i]);
      this.plane.disc(here[2 * i], here[2 * i + 1], 5.5, colours[i]);
      this.plane.circle(here[2 * i], here[2 * i + 1], 6, { width: 1.2 });
    }

    // Sentences.

    updateControls() {
      const layers = this.learned.isFlow;
      const clock = layers ? `coupling ${Math.round(this.layer * 10) / 10} of ${this.steps}` : `t = ${signed(this.time)}`;
      this.clock.textContent = clock;
      this.slider.step = layers ? 0.1 / this.steps : 0.01;
      this.slider.value = this.progress;
      this.slider.setAttribute("aria-label", layers ? "Coupling" : "Time");
      this.slider.setAttribute("aria-valuetext", clock);
      this.playButton.textContent = this.playing ? "Pause" : "Play";
      this.playButton.hidden = this.stillness.matches; // who wants no motion has the steps
      // Not `disabled`, which would take the focus away at the end of the way.
      this.backButton.setAttribute("aria-disabled", this.progress <= 0);
      this.onButton.setAttribute("aria-disabled", this.progress >= 1);
    }

    /** Writes what is seen, and announces it when it has come to rest. */
    say() {
      const { way } = this.settings;
      const about = { forward: () => this.sayForward(), backward: () => this.sayBackward(), return: () => this.sayReturn() };
      const text = [...about[way](), this.job ? "Computing …" : this.sayCloud()].filter(Boolean).join(" ");
      this.sentences.textContent = text;
      const all = `${this.clock.textContent}. ${this.sayPlace()} ${text}`;
      if (this.playing || this.job || all === this.announced) return;
      this.announced = all;
      clearTimeout(this.announcing);
      this.announcing = setTimeout(() => (this.announcer.textContent = all), 500);
    }

    sayPlace() {
      const { states, heroes } = this.trace(), here = this.now(states);
      return heroes.length > 1 ? "" : `The point is at ${spot(here[0], here[1])}.`;
    }

    sayForward() {
      const { states, heroes } = this.trace(), end = states.at(-1), from = spot(this.settings.x, this.settings.y);
      if (heroes.length > 1) {
        const arrived = heroes.filter((ring, i) => this.isOn(end, i, ring)).length;
        return [`One start, ${from}, and five labels: ${arrived} of 5 ends lie on their own ring.`, this.sayError()];
      }
      const rings = NAMES.filter((_, ring) => this.isOn(end, 0, ring)).join(" and ");
      const where = !this.settings.truth ? "" : rings ? `, on ${rings}` : ", off the rings";
      return [`The point starts at ${from} and ends at ${spot(end[0], end[1])}${where}.`, this.sayError(), this.sayDensity()];
    }

    sayBackward() {
      const { states, heroes } = this.trace(), end = states.at(-1), from = spot(this.settings.x, this.settings.y);
      const to = heroes.length > 1 ? "five places in the noise, one for each label" : `${spot(end[0], end[1])} in the noise`;
      return [`The point starts at ${from} and goes back to ${to}.`, this.sayError()];
    }

    sayReturn() {
      const { states, heroes } = this.trace(), gap = Math.max(...heroes.map((_, i) => apart(states.at(-1), states[0], i)));
      const who = heroes.length > 1 ? "The worst of its five ways comes" : "It comes";
      return [`The point starts at ${spot(this.settings.x, this.settings.y)}. ${who} back ${small(gap)} from there.`];
    }

    sayError() {
      const { fine, error, heroes } = this.trace(), subject = heroes.length > 1 ? "the worst end is" : "the end is";
      if (!fine) return "";
      const steps = this.steps === 1 ? "1 step" : `${this.steps} steps`;
      return `With ${steps} of ${METHODS[this.settings.method]}, ${subject} ${small(error)} from the fine solution (dotted).`;
    }

    sayDensity() {
      if (!this.learned.isFlow) return "";
      const { states, heroes } = this.trace(), logQ = this.learned.logDensity(states.at(-1).slice(0, 2), Int8Array.from(heroes))[0];
      return logQ === -Infinity ? "The density there is 0." : `Its log-density there is ${signed(logQ)} nats.`;
    }

    sayCloud() {
      const { way, ring, truth } = this.settings;
      if (!this.cloud || way === "backward" || !truth) return "";
      const { states, byRing } = this.cloud, end = states.at(-1);
      const shown = byRing.flatMap((indices, c) => (ring < 0 || ring === c ? indices.map((i) => [i, c]) : []));
      const many = shown.length.toLocaleString("en");
      if (way === "return") {
        const gaps = shown.map(([i]) => apart(end, states[0], i)).sort((a, b) => a - b);
        return `Half of ${many} points come back within ${small(gaps[Math.floor(gaps.length / 2)])}.`;
      }
      const on = shown.filter(([i, c]) => (this.takesLabels ? this.isOn(end, i, c) : NAMES.some((_, any) => this.isOn(end, i, any))));
      const share = ((100 * on.length) / shown.length).toFixed(1);
      return `Of ${many} points, ${share} % end on ${this.takesLabels ? "their own" : "a"} ring.`;
    }
  }

  /** Turns the figure of this id, which holds a static picture, into an explorer. */
  function mount(id) {
    if (!document.getElementById("fr-style")) document.head.append(element("style", { id: "fr-style", textContent: STYLE }));
    const root = document.getElementById(id), data = JSON.parse(document.getElementById(`${id}-data`).textContent);
    root.explorer = new Explorer(root, data);
  }

  return { mount, load, follow, finish, ExactField, scaledBessel, gaussLegendre, uniforms, normalPair, stepTimes };
})();
