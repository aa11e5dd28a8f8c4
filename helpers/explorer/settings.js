// Settings: what can be set in a figure, to what, and how it is set where nothing is said.
// The page sets some of them (`start` of explore() in __init__.py), and the reader changes those with a control.

export const NAMES = ["blue", "black", "red", "yellow", "green"];
export const METHODS = { euler: "Euler", midpoint: "Midpoint", rk4: "RK4" };
export const CLOUD = 2000; // points

export const DEFAULTS = {
  points: "one", way: "forward", method: "rk4", steps: 12, late: 2, field: "learned", rows: 0, weight: 1, ring: -1,
  level: null, push: true, arrows: false, grid: false, density: false, truth: true, at: 1, x: -0.6, y: 1.6, autoplay: false,
};

/** What a field is called where none is learned: it is that of a table. */
export const OF_A_TABLE = { learned: "of the table", exact: "of the rings" };

/** What a slider is called, and its values. */
export const SLIDERS = { level: ["Level κ", [0, 0.1, 0.25, 0.5, 1, 2, 4]] };

/** What each list of choices is called, and its values with their texts. */
export const CHOICES = {
  points: ["Points", [["one", "one"], ["handful", "a handful"], ["cloud", CLOUD.toLocaleString("en")]]],
  way: ["Way", [["forward", "noise to data"], ["backward", "data to noise"], ["return", "round trip"]]],
  method: ["Solver", Object.entries(METHODS)],
  steps: ["Steps", [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64].map((n) => [n, n])],
  jumps: ["Jumps", [1, 2, 4, 8].map((n) => [n, n])], // the steps of a map
  stirs: ["Steps", [8, 16, 32, 64, 128, 256].map((n) => [n, n])], // with noise
  field: ["Field", [["learned", "learned"], ["exact", "exact"]]],
  rows: ["Table", []], // those that the model offers
  weight: ["Guidance w", [0, 1, 1.5, 2, 3, 4, 6].map((w) => [w, w])],
  ring: ["Ring", [[-1, "all"], ...NAMES.map((name, ring) => [ring, name])]],
};
