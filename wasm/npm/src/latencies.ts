import type { LatencyHistogram } from "../types/index.js";

/** Bounds of the buckets: powers of two from 1/8 ms to 2^19 ms, which is nine minutes. */
const FIRST_POWER = -3;
const BUCKETS = 24;

/** A histogram of latencies, in milliseconds. */
export class Latencies {
  readonly #counts: number[] = new Array(BUCKETS).fill(0);
  #sum = 0;

  add(milliseconds: number): void {
    const power = Math.ceil(Math.log2(milliseconds)) - FIRST_POWER;
    const bucket = Math.max(0, Math.min(BUCKETS - 1, power));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += milliseconds;
  }

  snapshot(): LatencyHistogram {
    const bounds = this.#counts.map((_, bucket) => 2 ** (bucket + FIRST_POWER));
    bounds[BUCKETS - 1] = Number.POSITIVE_INFINITY;
    return { bounds, counts: [...this.#counts], sum: this.#sum };
  }
}
