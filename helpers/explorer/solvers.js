// Solvers: how points get from noise to data and back, in steps along a field or in layers through a flow.
//
// A model is one of models.js or the exact field. Of a flow its `couplings` and `pass` are used; of a field its
// `end`, the last time, and `velocities`. Time 0 is noise, time 1 is data.
import { noisyStep } from "./noise.js";

/** Each takes points from time t to t + h, and calls the field once, twice and four times; a map is called once. */
const SOLVERS = {
  jump: (call, x, t, h) => add(x, h, call(x, t, t + h)),
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
export function stepTimes(steps, end, late) {
  return Array.from({ length: steps + 1 }, (_, k) => end * (1 - (1 - k / steps) ** late));
}

const CHUNK = 64; // points between two looks at the clock

/**
 * All states of points on their way, as a generator that pauses often and tells the share that is done.
 * way: "forward" from noise to data, "backward", or "return" there and back. Where a level of noise is given, the
 * points are stirred, with `push` or without, and what is drawn at random is that of the seed.
 */
export function* follow(model, points, rings, { way, method, steps, late, level = null, push, seed }) {
  const count = model.isFlow ? model.couplings.length : steps;
  const times = model.isFlow ? [] : stepTimes(steps, model.end, late);
  const legs = { forward: [false], backward: [true], return: [false, true] }[way];
  const states = [Float64Array.from(points)], pauses = legs.length * count * Math.ceil(rings.length / CHUNK);
  const advance = level === null ? SOLVERS[model.isMap ? "jump" : method] : noisyStep({ level, push, seed });
  let done = 0;
  for (const backward of legs) {
    for (let k = 0; k < count; k++) {
      const index = backward ? count - 1 - k : k, next = states.at(-1).slice();
      const [from, to] = backward ? [index + 1, index] : [index, index + 1];
      for (let i = 0; i < rings.length; i += CHUNK) {
        const part = next.subarray(2 * i, 2 * (i + CHUNK)), labels = rings.subarray(i, i + CHUNK);
        if (model.isFlow) model.pass(index, part, labels, backward);
        else {
          const call = (x, t, until) => {
            const v = new Float64Array(x.length);
            model.velocities(x, t, labels, v, until);
            return v;
          };
          part.set(advance(call, Float64Array.from(part), times[from], times[to] - times[from]));
        }
        yield ++done / pauses;
      }
      states.push(next);
    }
  }
  return states;
}

export function finish(generator) {
  for (;;) {
    const { done, value } = generator.next();
    if (done) return value;
  }
}
