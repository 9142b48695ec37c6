// What one writer did, second by second: latencies of what was acknowledged or failed, and how long what still waits has waited.

/** How many seconds are kept. */
export const SECONDS = 60;

export class Samples {
  constructor() {
    /** One for each second, the newest last. */
    this.past = [];
    this.current = fresh();
    /** When each unanswered record was written, oldest first. */
    this.waiting = new Set();
    this.failed = 0;
  }

  /** Notes a record; what comes back takes note of its end. */
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

  /** Ends a second. What has waited for long counts with its age so far: a writer that is stuck has no latencies to show otherwise. */
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

  /** Records of one stream a second, over the last five: a writer that was held up acknowledges in bursts. */
  rate(stream) {
    const last = this.past.slice(-5);
    return last.reduce((sum, second) => sum + (second.streams.get(stream) ?? 0), 0) / Math.max(last.length, 1);
  }

  /** Notes seconds in which nothing was written and nobody looked. */
  skip(seconds) {
    const none = { written: 0, failed: 0, streams: new Map(), all: new Float64Array(), p50: undefined, p99: undefined };
    this.past.push(...Array.from({ length: Math.min(seconds, SECONDS) }, () => none));
    this.past = this.past.slice(-SECONDS);
    this.current = fresh();
  }

  /** The last ten seconds as one. */
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

/** The quantile of sorted numbers; `undefined` of none. */
function quantile(sorted, q) {
  return sorted.length === 0 ? undefined : sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}
