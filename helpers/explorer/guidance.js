// Guidance: a field whose answer to a label is amplified, and the choice among the fields that a figure may follow.

/** v_w = v + w (v^c - v), of a field that also answers with no label: -1. Without one nothing is amplified. */
class Guided {
  constructor(field, weight) {
    Object.assign(this, { field, weight, end: field.end, box: field.box });
  }

  velocities(points, t, rings, out) {
    const any = new Float64Array(points.length);
    this.field.velocities(points, t, rings, out);
    this.field.velocities(points, t, new Int8Array(rings.length).fill(-1), any);
    for (let i = 0; i < out.length; i++) out[i] = (1 - this.weight) * any[i] + this.weight * out[i];
  }
}

/** The model that the settings ask for. */
export function choose({ learned, exact }, { field, weight = 1, rows }) {
  const chosen = field === "exact" ? exact : learned.offers ? learned.first(rows) : learned;
  return weight === 1 ? chosen : new Guided(chosen, weight);
}
