// One of the two writers, with its measurements.
import { MultiStreamWriter } from "./web.js";
import { Samples } from "./samples.js";

/** Timeout of a record, in milliseconds. Without hedging, a stalled stream holds a record for that long. */
const REQUEST_TIMEOUT = 2000;

/** Limit of unanswered records of a writer. Further ones are not written, as an application would shed them. */
const MAX_WAITING = 5000;

/**
 * Settings in which the two writers differ. Browsers open six connections to a server over HTTP/1.1, and further requests wait: the writers
 * use three and one, the reader uses one, and the page sends one request at a time over the last.
 */
export const HEDGING = {
  hedged: { connections: 3, firstSpeculativeTimeout: 50, budget: true, health: true, adaptive: true },
  // Nothing that a writer without hedging would not do: it keeps to the stalled stream.
  plain: { connections: 1, hedging: false, adaptive: false, budget: false, health: false },
};

export class Side {
  constructor(name, streams, token) {
    this.name = name;
    this.samples = new Samples();
    this.options = { url: location.origin, streams, token, requestTimeout: REQUEST_TIMEOUT, inFlightSets: 1, ...HEDGING[name] };
    this.resume();
  }

  /** Begins to write again after `pause`. */
  resume() {
    this.writer = new MultiStreamWriter(this.options);
  }

  /** Gives up what waits, so that no request is repeated. */
  pause() {
    this.writer.close({ timeout: 1 }).catch(() => {});
  }

  /** Writes one record for each text. */
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

  /** Returns the share of hedges in all requests, in percent. */
  extra() {
    const { attempts, hedgesSent } = this.writer.stats();
    return attempts === 0 ? 0 : (100 * hedgesSent) / attempts;
  }

  isHealthy(stream) {
    return this.writer.stats().streams[stream]?.healthy ?? true;
  }
}
