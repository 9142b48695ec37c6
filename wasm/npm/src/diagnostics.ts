import { channel } from "node:diagnostics_channel";

import type * as Public from "../types/index.js";
// build.js leaves this import in place: the classes are those of the package's main entry.
import { MultiStreamReader as Reader, MultiStreamWriter as Writer } from "./node.js";

const attempts = channel("distributedlog:attempt");
const writes = channel("distributedlog:write");
const faults = channel("distributedlog:fault");

export class MultiStreamWriter extends Writer {
  constructor(options: Public.MultiStreamWriterOptions) {
    super({
      ...options,
      onAttempt: (report) => {
        if (attempts.hasSubscribers) attempts.publish({ writer: this, ...report });
        options.onAttempt?.(report);
      },
    });
  }

  override write(record: Public.RecordBytes, options?: Public.WriteOptions): Promise<Public.Written> {
    return this.#published(super.write(record, options));
  }

  override tryWrite(
    record: Public.RecordBytes,
    options?: Public.WriteOptions,
  ): Promise<Public.Written> | undefined {
    const written = super.tryWrite(record, options);
    return written && this.#published(written);
  }

  /** Publishes the end of a write. */
  #published(written: Promise<Public.Written>): Promise<Public.Written> {
    if (!writes.hasSubscribers) return written;
    const began = performance.now();
    const publish = (end: object) =>
      writes.publish({ writer: this, duration: performance.now() - began, ...end });
    written.then(publish, (error: unknown) => publish({ error }));
    return written;
  }
}

export class MultiStreamReader extends Reader {
  constructor(options: Public.MultiStreamReaderOptions) {
    const publish = (fault: Public.StreamFault) => {
      faults.publish({ reader: this, ...fault });
      options.onFault?.(fault);
    };
    // Without a subscriber the reader warns on the console.
    super(faults.hasSubscribers ? { ...options, onFault: publish } : options);
  }
}

for (const value of [MultiStreamWriter, MultiStreamReader])
  Object.defineProperty(value, "name", { value: Object.getPrototypeOf(value).name });

export * from "./node.js";
