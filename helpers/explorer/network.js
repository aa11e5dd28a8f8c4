// The network that is part of every model, and what it is made of: weights of a page, and waves of what it sees.
import { linear } from "./numbers.js";

/** Hands out the weights of a file, one network after the other. */
export function weightReader(base64) {
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
export class Network {
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

/** Writes sin(k u) from out[sines] on and cos(k u) from out[cosines] on, for k = 1..count. */
export function writeWaves(u, count, out, sines, cosines) {
  const sin = Math.sin(u), cos = Math.cos(u);
  let s = sin, c = cos;
  for (let k = 0; k < count; k++) {
    out[sines + k] = s;
    out[cosines + k] = c;
    [s, c] = [s * cos + c * sin, c * cos - s * sin];
  }
}
