// The exact field: the velocity and the density of the straight path from normal noise to the rings, by
// quadrature over a ring's radius, as helpers/path.py has them. Times run to 0.995, where a little noise is left.
import { gaussLegendre, scaledBessel } from "./numbers.js";

const FEW = gaussLegendre(16), MANY = gaussLegendre(36), TINY = 1e-300;

/** The exact velocity and density of the straight path to the rings, as in helpers/path.py. */
export class ExactField {
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
