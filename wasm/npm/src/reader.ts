import { DeduplicatorHandle } from "../dist/glue/distributedlog.js";
import type * as Public from "../types/index.js";
import { Dlsn } from "./dlsn.js";
import { ReadError, SettingsError } from "./errors.js";
import { init } from "./load.js";
import { fromBase64, ReadRecord, type RecordLine, toBase64 } from "./record.js";
import { Server } from "./server.js";
import { checkStreams, isCount } from "./settings.js";
import { onAbort } from "./signals.js";
import { ConnectionSlots, type ReadPosition, Tail } from "./tail.js";
import { clearTimeout, MAX_TIMEOUT_MS, now, setTimeout } from "./timers.js";

const DEFAULTS = { sequences: 65_536, writers: 256 };

/** Default of `contactTimeout` until the first response. */
const FIRST_CONTACT_MS = 60_000;

/** Minimum time between two warnings of faults, in milliseconds. */
const WARN_EVERY_MS = 60_000;

/** Verdicts of `DeduplicatorHandle.judge`, besides 0 for a record to deliver. */
const DUPLICATE = 1;
const BEYOND_WINDOW = 2;

export class MultiStreamReader implements Public.MultiStreamReader {
  readonly #tails: Tail[];
  readonly #end = new AbortController();
  readonly #dedupSize: { sequences: number; writers: number } | undefined;
  readonly #savedDedup: Uint8Array;
  /** Created by the first `next`, once the module is loaded. `undefined` without `merge`. */
  #dedup: DeduplicatorHandle | undefined;
  #starting: Promise<void> | undefined;
  #turn = 0;
  /** True while the current tail is within a set: the records of a set are delivered together. */
  #withinSet = false;
  #wake: () => void = () => {};
  #failure: unknown;
  /** True once no record is delivered any more. */
  #closed = false;
  readonly #follow: boolean;
  /** Maximum time without a response. */
  #contactTimeout: number;
  readonly #contactIsSet: boolean;
  /** Runs while the server does not respond. */
  #contactTimer: ReturnType<typeof setTimeout> | undefined;
  #noContact: Error | undefined;
  #warnedAt = Number.NEGATIVE_INFINITY;
  /** Stops waiting for the abort of the caller's signal. */
  #forget: () => void = () => {};
  #previous: Promise<unknown> = Promise.resolve();
  readonly #counters = {
    delivered: 0,
    copiesDropped: 0,
    beyondWindow: 0,
    malformed: 0,
    connections: 0,
  };

  constructor(options: Public.MultiStreamReaderOptions) {
    const {
      position,
      merge = {},
      follow = true,
      buffer = 1024,
      silence = 10_000,
      contactTimeout,
      onFault,
      signal,
    } = options;
    const streams = options.streams ?? Object.keys(position?.streams ?? {});
    checkStreams(streams);
    if (!isCount(buffer) || buffer < 1) throw new SettingsError("buffer", buffer, "at least 1");
    if (!isCount(silence) || silence < 200 || silence > 120_000)
      throw new SettingsError("silence", silence, "within 200 to 120000");
    if (contactTimeout !== undefined && !(contactTimeout >= 1))
      throw new SettingsError("contactTimeout", contactTimeout, "at least 1");
    if (position !== undefined && position.format !== 1) {
      throw new SettingsError(
        "position",
        JSON.stringify(position),
        "a position of format 1, the one that this version reads",
      );
    }
    const server = new Server(options);
    const connections = options.connections ?? defaultConnections(server);
    if (!(connections >= 1)) throw new SettingsError("connections", connections, "at least 1");
    this.#dedupSize = merge === false ? undefined : { ...DEFAULTS, ...merge };
    this.#savedDedup = fromBase64(position?.seen ?? "");
    this.#follow = follow;
    this.#contactTimeout = contactTimeout ?? FIRST_CONTACT_MS;
    this.#contactIsSet = contactTimeout !== undefined;
    const shared = {
      server,
      follow,
      buffer,
      silence,
      connections: new ConnectionSlots(connections),
      signal: this.#end.signal,
      wake: () => this.#wake(),
      fault: onFault ?? ((fault: Public.StreamFault) => this.#warn(fault)),
      fail: (error: unknown) => this.#fail(error),
      contact: () => this.#onContact(),
      noContact: (cause: Error) => {
        this.#noContact = cause;
        this.#watchContact();
      },
      connected: () => {
        this.#counters.connections += 1;
      },
      malformed: () => {
        this.#counters.malformed += 1;
      },
    };
    this.#tails = streams.map(
      (stream) =>
        new Tail(stream, position?.streams[stream] ?? startOf(options.from, stream), shared),
    );
    if (signal?.aborted) this.#close();
    else if (signal !== undefined) this.#forget = onAbort(signal, () => this.#close());
  }

  next(): Promise<IteratorResult<Public.ReadRecord, undefined>> {
    // Serialised, also for a caller that does not await the previous call.
    const next = this.#previous.then(() => this.#next());
    this.#previous = next.catch(() => {});
    return next;
  }

  return(): Promise<IteratorResult<Public.ReadRecord, undefined>> {
    this.#close();
    return Promise.resolve({ done: true, value: undefined });
  }

  position(): Public.ReaderPosition {
    const streams: Record<string, ReadPosition> = {};
    for (const tail of this.#tails) streams[tail.stream] = tail.position;
    return { format: 1, streams, seen: toBase64(this.#dedup?.save() ?? this.#savedDedup) };
  }

  stats(): Public.ReaderStats {
    return {
      ...this.#counters,
      writersForgotten: this.#dedup?.forgotten() ?? 0,
    };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  declare [Symbol.asyncDispose]: () => Promise<void>;

  async #next(): Promise<IteratorResult<Public.ReadRecord, undefined>> {
    this.#starting ??= this.#start();
    await this.#starting;
    for (;;) {
      if (this.#closed) return { done: true, value: undefined };
      const record = this.#nextRecord();
      if (record !== undefined) return { done: false, value: record };
      if (this.#failure === undefined && this.#tails.every((tail) => tail.ended)) this.#finish();
      // Behind the records that were read before it.
      if (this.#failure !== undefined) {
        this.#forget();
        throw this.#failure;
      }
      if (this.#closed) continue;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async #start(): Promise<void> {
    if (this.#dedupSize !== undefined) {
      await init();
      const { sequences, writers } = this.#dedupSize;
      this.#dedup = DeduplicatorHandle.restore(sequences, writers, this.#savedDedup);
      if (this.#dedup === undefined)
        throw new ReadError("POSITION", "the position's `seen` is damaged");
    }
    this.#watchContact();
    for (const tail of this.#tails) void tail.run().catch((error: unknown) => this.#fail(error));
  }

  /** Returns the next record that was read and is no duplicate. */
  #nextRecord(): ReadRecord | undefined {
    for (;;) {
      const tail = this.#nextTail();
      const line = tail?.shift();
      if (tail === undefined || line === undefined) return undefined;
      this.#withinSet = line.slot + 1 < line.slots;
      if (!this.#withinSet) this.#turn = (this.#turn + 1) % this.#tails.length;
      if (this.#delivers(line)) return new ReadRecord(tail.stream, Dlsn.parse(line.dlsn), line);
    }
  }

  /** Returns the next tail with a record, round robin from the current one. */
  #nextTail(): Tail | undefined {
    for (let step = 0; step < this.#tails.length; step++) {
      const turn = (this.#turn + step) % this.#tails.length;
      const tail = this.#tails[turn];
      if (tail !== undefined && tail.records.length > 0) {
        this.#turn = turn;
        return tail;
      }
    }
    return undefined;
  }

  /** Registers a record with the deduplicator. Returns `false` for a duplicate. */
  #delivers({ writer, sequence, slot, slots }: RecordLine): boolean {
    // A sequence beyond 2^53 is rounded: it does not identify a set.
    if (
      this.#dedup !== undefined &&
      writer !== undefined &&
      sequence !== undefined &&
      Number.isSafeInteger(sequence)
    ) {
      const verdict = this.#dedup.judge(writer, BigInt(sequence), slot, slots);
      if (verdict === DUPLICATE) {
        this.#counters.copiesDropped += 1;
        return false;
      }
      if (verdict === BEYOND_WINDOW) this.#counters.beyondWindow += 1;
    }
    this.#counters.delivered += 1;
    return true;
  }

  /** Closes a reader whose tails have ended. One that does not follow fails if streams are missing. */
  #finish(): void {
    const missing = this.#tails.filter((tail) => tail.missing).map(({ stream }) => stream);
    if (this.#follow || missing.length === 0) return this.#close();
    const message = `streams that do not exist were not read: ${missing.join(", ")}`;
    this.#fail(new ReadError("STREAM_MISSING", message, undefined, missing));
  }

  /** Starts the time that the server has to respond, unless it runs. */
  #watchContact(): void {
    const after = this.#contactTimeout;
    if (!(after < Number.POSITIVE_INFINITY) || this.#contactTimer !== undefined || this.#end.signal.aborted) return;
    this.#contactTimer = setTimeout(
      () => {
        const cause = this.#noContact;
        const message = `the server did not respond for ${after} ms; last failure: ${cause?.message ?? "none"}`;
        this.#fail(new ReadError("UNREACHABLE", message, undefined, [], cause));
      },
      Math.min(after, MAX_TIMEOUT_MS),
    );
  }

  #onContact(): void {
    if (!this.#contactIsSet) this.#contactTimeout = Number.POSITIVE_INFINITY;
    clearTimeout(this.#contactTimer);
    this.#contactTimer = undefined;
  }

  /** Shows a fault on the console, where there is no `onFault` for it. */
  #warn({ stream, detail }: Public.StreamFault): void {
    const time = now();
    if (time - this.#warnedAt < WARN_EVERY_MS) return;
    this.#warnedAt = time;
    console.warn(`distributedlog: ${stream}: ${detail}`);
  }

  /** Stops reading. The records that were read are still delivered. */
  #fail(error: unknown): void {
    this.#failure ??= error;
    clearTimeout(this.#contactTimer);
    this.#end.abort();
    this.#wake();
  }

  #close(): void {
    this.#closed = true;
    clearTimeout(this.#contactTimer);
    this.#forget();
    this.#end.abort();
    this.#wake();
  }
}

if (typeof Symbol.asyncDispose === "symbol") {
  MultiStreamReader.prototype[Symbol.asyncDispose] = async function (this: MultiStreamReader) {
    await this.return();
  };
}

function startOf(from: Public.MultiStreamReaderOptions["from"], stream: string): ReadPosition {
  const perStream =
    typeof from === "object" && !(from instanceof Dlsn) && !isDate(from);
  const start = perStream ? (from as Readonly<Record<string, Public.From>>)[stream] : from;
  if (start === undefined) return { from: "start" };
  if (start === "start" || start === "end") return { from: start };
  if (isDate(start)) return { from: start.toISOString() };
  return { from: (typeof start === "string" ? Dlsn.parse(start) : start).toString() };
}

/** Returns `true` for a date, also of another realm. */
function isDate(from: object | string): from is Date {
  return Object.prototype.toString.call(from) === "[object Date]";
}

/**
 * Returns the default of `connections`: browsers open six to a server over HTTP/1.1, of which
 * writers need some. Over TLS they use HTTP/2, which has no such limit.
 */
function defaultConnections(server: Server): number {
  return typeof document === "object" && server.base.startsWith("http:")
    ? 3
    : Number.POSITIVE_INFINITY;
}
