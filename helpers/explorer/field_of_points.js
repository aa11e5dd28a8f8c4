// The field of points: the exact velocity of the straight path from normal noise to a table of points, each as likely,
// as helpers/empirical.py has it. Times run to 0.9999, where each way has come to its point.

const FAINT = 40; // a weight of less than e^-40 of the greatest counts as none

/** u(x, t) = sum_i w_i (x_i - x) / (1 - t), with w = softmax(-|x - t x_i|^2 / (2 (1 - t)^2)). */
export class FieldOfPoints {
  constructor(table, offers) {
    Object.assign(this, { table, offers, classes: 0, box: 0, end: 0.9999, gaps: new Float64Array(table.length / 2) });
  }

  /** The field of the first n points alone. */
  first(n) {
    return new FieldOfPoints(this.table.subarray(0, 2 * n), [n]);
  }

  velocities(points, t, rings, out) {
    const { table, gaps } = this, tau = 1 - t, scale = 1 / (2 * tau * tau);
    for (let i = 0; i < points.length; i += 2) {
      const x = points[i], y = points[i + 1];
      let least = Infinity, total = 0, meanX = 0, meanY = 0;
      for (let k = 0; k < gaps.length; k++) {
        const dx = x - t * table[2 * k], dy = y - t * table[2 * k + 1];
        gaps[k] = dx * dx + dy * dy;
        if (gaps[k] < least) least = gaps[k];
      }
      for (let k = 0; k < gaps.length; k++) {
        const fall = scale * (gaps[k] - least);
        if (fall > FAINT) continue;
        const weight = Math.exp(-fall);
        total += weight;
        meanX += weight * table[2 * k];
        meanY += weight * table[2 * k + 1];
      }
      out[i] = (meanX / total - x) / tau;
      out[i + 1] = (meanY / total - y) / tau;
    }
  }

  /** Which of the points is nearest to a place, and how far away it is. */
  nearest(x, y) {
    const { table } = this, best = { index: 0, distance: Infinity };
    for (let k = 0; k < table.length / 2; k++) {
      const distance = Math.hypot(x - table[2 * k], y - table[2 * k + 1]);
      if (distance < best.distance) Object.assign(best, { index: k, distance });
    }
    return best;
  }
}
