// Computing: what takes long, as generators that pause often, and the list of those that are under way.
//
// Nothing here knows of a page: the same list runs in a worker, or, where a page may have none, between two frames.
// What a generator yields is a number, the share that is done, or an object, a part of the result.
import { computeDensity } from "./density.js";
import { exactEnds } from "./flow_map.js";
import { choose } from "./guidance.js";
import { seedOf } from "./noise.js";
import { follow } from "./solvers.js";

const TOGETHER = 128; // points of a cloud that appear together
export const FINE = 100; // steps of the solution by which others are judged

export const COMPUTATIONS = {
  /** The ways of the point that is dragged and of its companions. */
  *way(models, { settings, points, labels, heroes, judged }) {
    const states = yield* follow(choose(models, settings), points, labels, { ...settings, seed: seedOf(-2) });
    const beside = judged ? yield* fineSolution(models, settings, points, heroes, states.at(-1)) : { fine: null };
    return { states, ...beside, exact: yield* beyond(models, points, labels) };
  },

  density: computeDensity,

  /** In parts: the first are shown while the others are on their way. */
  *cloud(models, { settings, points, labels, from }) {
    const model = choose(models, settings), count = labels.length;
    const share = models.learned.isMap ? 0.1 : 1; // of the work: a map is judged by what costs more than it does
    for (let first = from; first < count; first += TOGETHER) {
      const last = Math.min(first + TOGETHER, count);
      const begin = points.slice(2 * first, 2 * last), told = labels.slice(first, last), end = last / count;
      const some = follow(model, begin, told, { ...settings, seed: seedOf(first) });
      const middle = first / count + share * (end - first / count);
      const states = yield* between(first / count, middle, some);
      yield { first, states, exact: yield* between(middle, end, beyond(models, begin, told)) };
    }
  },

  *grid(models, { settings, points, labels }) {
    return yield* follow(choose(models, settings), points, labels, settings);
  },
};

/** Where the exact flow takes the points, if it is a map that took them; else null. */
function* beyond(models, points, labels) {
  return models.learned.isMap ? yield* exactEnds(models, points, labels) : null;
}

/** A generator whose share is one of a larger whole. */
function* between(from, to, generator) {
  for (;;) {
    const { done, value } = generator.next();
    if (done) return value;
    yield from + (to - from) * value;
  }
}

/** With many steps of RK4; null where it is itself not exact enough to judge by. */
function* fineSolution(models, settings, points, heroes, end) {
  const model = choose(models, settings), few = points.slice(0, 2 * heroes.length), labels = Int8Array.from(heroes);
  const solve = (steps) => follow(model, few, labels, { ...settings, method: "rk4", steps, late: 2 });
  const worst = (a, b) => Math.max(...heroes.map((_, i) => apart(a, b, i)));
  const fine = yield* solve(FINE), error = worst(end, fine.at(-1));
  const doubt = settings.field === "exact" ? worst((yield* solve(FINE / 2)).at(-1), fine.at(-1)) : 0;
  return doubt > Math.max(0.1 * error, 1e-5) ? { fine: null } : { fine, error };
}

/** How far the i-th points of two states are from each other. */
export function apart(a, b, i) {
  return Math.hypot(a[2 * i] - b[2 * i], a[2 * i + 1] - b[2 * i + 1]);
}

/** What is under way, one of each name; it reports { name, key, share }, and { part } or { done }. */
export class Worklist {
  constructor(models, report) {
    Object.assign(this, { models, report, jobs: new Map() });
  }

  /** Begins anew with this task, or, with null, gives up. */
  set(name, task) {
    if (task) this.jobs.set(name, { key: task.key, generator: COMPUTATIONS[name](this.models, task), share: 0 });
    else this.jobs.delete(name);
  }

  /** Goes on until a time, with the most urgent first. */
  work(until) {
    for (const name in COMPUTATIONS) {
      for (let job; (job = this.jobs.get(name)); ) {
        if (performance.now() >= until) return this.report({ name, key: job.key, share: job.share });
        const { done, value } = job.generator.next();
        if (done) this.jobs.delete(name);
        if (typeof value === "number") job.share = value;
        else this.report({ name, key: job.key, share: job.share, part: value, done });
      }
    }
  }
}
