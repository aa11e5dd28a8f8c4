// The flow map: a learned mean velocity between two times, as helpers/flow_maps.py has it, and the ends of the exact
// flow, by which it is judged.
import { Network, weightReader, writeWaves } from "./network.js";
import { follow } from "./solvers.js";

export const MISS = 0.2; // a distance that counts as missing the end: the width of a ring

/** X(x, s, t) = x + (t - s) v(x, s, t): a jump is a step of Euler's method along the mean velocity. */
export class FlowMap {
  constructor(spec) {
    const { frequencies, timeFrequencies } = spec;
    Object.assign(this, { frequencies, timeFrequencies, isMap: true, classes: 0, box: 0, end: 1 });
    this.network = new Network(spec.sizes, spec.activation, weightReader(spec.weights));
    this.seen = new Float64Array(spec.sizes[0]);
  }

  velocities(points, s, rings, out, t = s) {
    const { seen, frequencies: waves, timeFrequencies: slow } = this, ofPlace = 2 * (1 + 2 * waves);
    const radius = Math.hypot(s, 1 - s), known = (2 * (s + t - 1)) / (radius * (radius + Math.hypot(t, 1 - t)));
    [s, t].forEach((time, i) => {
      const first = ofPlace + i * (1 + 2 * slow);
      seen[first] = time;
      writeWaves(Math.PI * time, slow, seen, first + 1, first + 1 + slow);
    });
    for (let i = 0; i < points.length; i += 2) {
      seen.set([points[i], points[i + 1]]);
      writeWaves((Math.PI * points[i]) / 3, waves, seen, 2, 2 + 2 * waves);
      writeWaves((Math.PI * points[i + 1]) / 3, waves, seen, 2 + waves, 2 + 3 * waves);
      const v = this.network.run(seen);
      out[i] = known * points[i] + v[0];
      out[i + 1] = known * points[i + 1] + v[1];
    }
  }
}

/** Where the exact flow takes points; from its last time on, to the best guess of the data. */
export function* exactEnds({ exact }, points, labels) {
  const states = yield* follow(exact, points, labels, { way: "forward", method: "rk4", steps: 24, late: 3 });
  const x = states.at(-1), v = new Float64Array(x.length);
  exact.velocities(x, exact.end, labels, v);
  return x.map((value, i) => value + (1 - exact.end) * v[i]);
}
