// Numbers: uniform and normal ones at random, a linear map, Bessel functions, and the nodes of a quadrature.
// Nothing in this file knows of rings or of flows.

/** Uniform numbers in (0, 1), the same at every visit. Source: Marsaglia, "Xorshift RNGs" (2003). */
export function uniforms(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
}

/** A pair of independent standard normal numbers, by Box and Muller's method. */
export function normalPair(uniform) {
  const radius = Math.sqrt(-2 * Math.log(uniform())), angle = 2 * Math.PI * uniform();
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/** out = weight input + bias. Four rows at a time: sums that do not wait for each other. */
export function linear({ columns, weight, bias }, input, out) {
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

export function scaledBessel(order, z) {
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
export function gaussLegendre(count) {
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
