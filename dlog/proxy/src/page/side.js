// One of the two writers, and what it does.
import { MultiStreamWriter } from "./web.js";
import { Samples } from "./samples.js";

/** How long a record may take: with no hedging, how long a stalled stream holds it. In milliseconds. */
const REQUEST_TIMEOUT = 2000;

/** How many records may wait for a writer that is stuck; more are not written, as an application would shed them. */
const MAX_WAITING = 5000;

/**
 * What the two differ in. Browsers open six connections to a server over HTTP/1.1, and what is asked beyond them waits: the writers take
 * three and one, the reader takes one, and the page asks one thing at a time over the last.
 */
export const HEDGING = {
  hedged: { connections: 3, firstSpeculativeTimeout: 50, budget: true, health: true, adaptive: true },
  plain: { connections: 1, hedging: false },
};

export class Side {
  constructor(name, streams, token) {
    this.name = name;
    this.samples = new Samples();
    this.writer = new MultiStreamWriter({
      url: location.origin,
      streams,
      token,
      requestTimeout: REQUEST_TIMEOUT,
      inFlightSets: 1,
      ...HEDGING[name],
    });
  }

  /** Writes records, as many as there are texts. */
  write(texts) {
    for (const text of texts) {
      if (this.samples.waiting.size >= MAX_WAITING) return;
      const end = this.samples.begin(performance.now());
      this.writer.write(text).then(
        ({ stream }) => end(performance.now(), stream),
        () => end(performance.now(), undefined),
      );
    }
  }

  /** Of all requests made, the share that was made because an earlier one took too long, in percent. */
  extra() {
    const { attempts, hedgesSent } = this.writer.stats();
    return attempts === 0 ? 0 : (100 * hedgesSent) / attempts;
  }

  isHealthy(stream) {
    return this.writer.stats().streams[stream]?.healthy ?? true;
  }

  close() {
    return this.writer.close({ timeout: 100 });
  }
}
