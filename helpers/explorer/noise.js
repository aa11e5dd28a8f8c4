// Noise: a step that keeps the guess of the data and replaces a part of the noise by fresh, as helpers/sde.py has it.
import { normalPair, uniforms } from "./numbers.js";

/**
 * A step of solvers.js at a level of noise; level 0 is Euler's method. Without the push towards higher density, which
 * is what the old noise loses, the fresh noise is added to all of the old. The same seed draws the same noise.
 */
export function noisyStep({ level, push, seed }) {
  const uniform = uniforms(seed);
  return (call, x, t, h) => {
    const v = call(x, t), later = t + h, left = Math.max(0, 1 - later), next = new Float64Array(x.length);
    const keep = (((left / later) * t) / (1 - t)) ** level, width = left * Math.sqrt(1 - keep * keep);
    for (let i = 0; i < x.length; i += 2) {
      const fresh = width ? normalPair(uniform) : [0, 0];
      for (const k of [0, 1]) {
        const data = x[i + k] + (1 - t) * v[i + k], noise = x[i + k] - t * v[i + k];
        next[i + k] = later * data + left * (push ? keep : 1) * noise + width * fresh[k];
      }
    }
    return next;
  };
}

/** The seed of the noise of some points of a cloud, from the first on: far from that of others. */
export function seedOf(first) {
  return (Math.imul(first + 1, 2_654_435_761) ^ 20_260) | 0 || 1;
}

/** How far from the middle the points of a state are, and those of the exact path at time t: roots of mean squares. */
export function spreads({ rings: { centres, inner, outer } }, state, t) {
  const data = centres.reduce((sum, [a, b]) => sum + (a * a + b * b) / 5, (inner ** 2 + outer ** 2) / 2);
  const square = state.reduce((sum, value) => sum + value * value, 0) / (state.length / 2);
  return { found: Math.sqrt(square), exact: Math.sqrt(t * t * data + 2 * (1 - t) ** 2) };
}
