// Stored ways: those of a cloud that travel with a page, so that its points move before anything is computed.

/** All states; __init__.py packs each point in each state into three bytes, twelve bits for x and for y. */
export function unpack({ points, reach, packed }) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0)), states = [];
  const number = (twelveBits) => reach * ((2 * twelveBits) / 4095 - 1);
  for (let at = 0; at < bytes.length; ) {
    const state = new Float64Array(2 * points);
    for (let i = 0; i < 2 * points; i += 2, at += 3) {
      state[i] = number((bytes[at] << 4) | (bytes[at + 1] >> 4));
      state[i + 1] = number(((bytes[at + 1] & 15) << 8) | bytes[at + 2]);
    }
    states.push(state);
  }
  return states;
}
