// Measurements of one writer, second by second: latencies of records that were acknowledged or failed, and the age of those that wait.

/** Number of seconds that are kept. */
export const SECONDS = 60;

export class Samples {
  constructor() {
    /** One for each second, the newest last. */
    this.past = [];
    this.current = fresh();
    /** Time at which each unanswered record was written, oldest first. */
    this.waiting = new Set();
    this.failed = 0;
  }

  /** Notes a record. Returns the function that notes its end. */
  begin(now) {
    const entry = { at: now };
    this.waiting.add(entry);
    return (then, stream) => {
      this.waiting.delete(entry);
      this.current.latencies.push(then - entry.at);
      if (stream === undefined) {
        this.current.failed++;
        this.failed++;
      } else {
        this.current.streams.set(stream, (this.current.streams.get(stream) ?? 0) + 1);
      }
    };
  }

  /** Ends a second. Records that have waited for a second count with their age, because a writer that is stuck has no other latencies. */
  tick(now) {
    const { latencies, failed, streams } = this.current;
    const ages = [];
    for (const { at } of this.waiting) {
      if (now - at < 1000) break;
      ages.push(now - at);
    }
    const all = Float64Array.from([...latencies, ...ages]).sort();
    this.past.push({ written: latencies.length - failed, failed, streams, all, p50: quantile(all, 0.5), p99: quantile(all, 0.99) });
    if (this.past.length > SECONDS) this.past.shift();
    this.current = fresh();
  }

  /** Returns the records of one stream per second, over the last five seconds: a writer that was blocked acknowledges in bursts. */
  rate(stream) {
    const last = this.past.slice(-5);
    return last.reduce((sum, second) => sum + (second.streams.get(stream) ?? 0), 0) / Math.max(last.length, 1);
  }

  /** Notes seconds in which the page was hidden and nothing was written. */
  skip(seconds) {
    const none = { written: 0, failed: 0, streams: new Map(), all: new Float64Array(), p50: undefined, p99: undefined };
    this.past.push(...Array.from({ length: Math.min(seconds, SECONDS) }, () => none));
    this.past = this.past.slice(-SECONDS);
    this.current = fresh();
  }

  /** Returns the median, the 99th percentile and the rate of the last ten seconds. */
  summary() {
    const last = this.past.slice(-10);
    const all = Float64Array.from(last.flatMap((second) => [...second.all])).sort();
    const written = last.reduce((sum, second) => sum + second.written, 0);
    return { p50: quantile(all, 0.5), p99: quantile(all, 0.99), rate: written / Math.max(last.length, 1) };
  }
}

function fresh() {
  return { latencies: [], failed: 0, streams: new Map() };
}

/** Returns the quantile of sorted numbers, or `undefined` if there are none. */
function quantile(sorted, q) {
  return sorted.length === 0 ? undefined : sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}
