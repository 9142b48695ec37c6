import { DeduplicatorHandle } from "../dist/glue/distributedlog.js";
import type * as Public from "../types/index.js";
import { Dlsn } from "./dlsn.js";
import { ReadError, SettingsError } from "./errors.js";
import { init } from "./load.js";
import { fromBase64, ReadRecord, type RecordLine, toBase64 } from "./record.js";
import { Server } from "./server.js";
import { checkStreams, isCount } from "./settings.js";
import { type Place, Tail, Turns } from "./tail.js";

const DEFAULTS = { sequences: 65_536, writers: 256 };

/** What `DeduplicatorHandle.judge` answers. */
const COPY = 1;
const UNKNOWN = 2;

export class MultiStreamReader implements Public.MultiStreamReader {
  readonly #tails: Tail[];
  readonly #end = new AbortController();
  readonly #sizes: { sequences: number; writers: number } | undefined;
  readonly #saved: Uint8Array;
  /** Loaded with the first record that is asked for. */
  #seen: DeduplicatorHandle | undefined;
  #started: Promise<void> | undefined;
  #turn = 0;
  /** Whether the tail whose turn it is stands within a set, which comes in one piece. */
  #withinSet = false;
  #wake: () => void = () => {};
  #failure: unknown;
  #asked: Promise<unknown> = Promise.resolve();
  #forgotten = 0;
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
      onFault,
      signal,
    } = options;
    const streams = options.streams ?? Object.keys(position?.streams ?? {});
    checkStreams(streams);
    if (!isCount(buffer) || buffer < 1) throw new SettingsError("buffer", buffer, "at least 1");
    if (!isCount(silence) || silence < 200 || silence > 120_000)
      throw new SettingsError("silence", silence, "within 200 to 120000");
    if (position !== undefined && position.format !== 1) {
      throw new SettingsError(
        "position",
        JSON.stringify(position),
        "a position of format 1, which this version reads",
      );
    }
    const server = new Server(options);
    const connections = options.connections ?? defaultConnections(server);
    if (!(connections >= 1)) throw new SettingsError("connections", connections, "at least 1");
    this.#sizes = merge === false ? undefined : { ...DEFAULTS, ...merge };
    this.#saved = fromBase64(position?.seen ?? "");
    const shared = {
      server,
      follow,
      buffer,
      silence,
      connections: new Turns(connections),
      signal: this.#end.signal,
      wake: () => this.#wake(),
      fault: (fault: Public.StreamFault) => onFault?.(fault),
      fail: (error: unknown) => this.#fail(error),
      connected: () => {
        this.#counters.connections += 1;
      },
      malformed: () => {
        this.#counters.malformed += 1;
      },
    };
    this.#tails = streams.map(
      (stream) =>
        new Tail(stream, position?.streams[stream] ?? placeOf(options.from, stream), shared),
    );
    if (signal?.aborted) this.#close();
    signal?.addEventListener("abort", () => this.#close(), { once: true });
  }

  next(): Promise<IteratorResult<Public.ReadRecord, undefined>> {
    // One after the other, also for a caller who does not wait.
    const next = this.#asked.then(() => this.#next());
    this.#asked = next.catch(() => {});
    return next;
  }

  return(): Promise<IteratorResult<Public.ReadRecord, undefined>> {
    this.#close();
    return Promise.resolve({ done: true, value: undefined });
  }

  position(): Public.ReaderPosition {
    const streams: Record<string, Place> = {};
    for (const tail of this.#tails) streams[tail.stream] = tail.position;
    return { format: 1, streams, seen: toBase64(this.#seen?.save() ?? this.#saved) };
  }

  stats(): Public.ReaderStats {
    return { ...this.#counters, writersForgotten: this.#seen?.forgotten() ?? this.#forgotten };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  declare [Symbol.asyncDispose]: () => Promise<void>;

  async #next(): Promise<IteratorResult<Public.ReadRecord, undefined>> {
    this.#started ??= this.#start();
    await this.#started;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#end.signal.aborted) return { done: true, value: undefined };
      const record = this.#take();
      if (record !== undefined) return { done: false, value: record };
      if (this.#tails.every((tail) => tail.ended)) {
        this.#close();
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async #start(): Promise<void> {
    if (this.#sizes !== undefined) {
      await init();
      const { sequences, writers } = this.#sizes;
      this.#seen = DeduplicatorHandle.restore(sequences, writers, this.#saved);
      if (this.#seen === undefined)
        throw new ReadError(
          "POSITION",
          "what the position says of sets that were delivered cannot be read",
        );
    }
    for (const tail of this.#tails) void tail.run().catch((error: unknown) => this.#fail(error));
  }

  /** The next record that was read and is no copy. */
  #take(): ReadRecord | undefined {
    for (;;) {
      const tail = this.#choose();
      const line = tail?.shift();
      if (tail === undefined || line === undefined) return undefined;
      this.#withinSet = line.slot + 1 < line.slots;
      if (!this.#withinSet) this.#turn = (this.#turn + 1) % this.#tails.length;
      if (this.#delivers(line)) return new ReadRecord(tail.stream, Dlsn.parse(line.dlsn), line);
    }
  }

  /** Whose turn it is: a set comes in one piece, and streams take turns. */
  #choose(): Tail | undefined {
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

  #delivers({ writer, sequence, slot, slots }: RecordLine): boolean {
    // A number that a double cannot hold might be another one: it is no name of a set.
    if (
      this.#seen !== undefined &&
      writer !== undefined &&
      sequence !== undefined &&
      Number.isSafeInteger(sequence)
    ) {
      const verdict = this.#seen.judge(writer, BigInt(sequence), slot, slots);
      if (verdict === COPY) {
        this.#counters.copiesDropped += 1;
        return false;
      }
      if (verdict === UNKNOWN) this.#counters.beyondWindow += 1;
    }
    this.#counters.delivered += 1;
    return true;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#close();
  }

  #close(): void {
    this.#end.abort();
    this.#wake();
  }
}

if (typeof Symbol.asyncDispose === "symbol") {
  MultiStreamReader.prototype[Symbol.asyncDispose] = async function (this: MultiStreamReader) {
    await this.return();
  };
}

function placeOf(from: Public.MultiStreamReaderOptions["from"], stream: string): Place {
  const each = typeof from === "object" && !(from instanceof Dlsn);
  const place = each ? (from as Readonly<Record<string, Public.From>>)[stream] : from;
  if (place === undefined) return { from: "start" };
  if (place === "start" || place === "end") return { from: place };
  return { from: (typeof place === "string" ? Dlsn.parse(place) : place).toString() };
}

/** A page's browser opens six connections to a server over HTTP/1.1, and TLS is what brings HTTP/2. */
function defaultConnections(server: Server): number {
  return typeof document === "object" && server.base.startsWith("http:")
    ? 3
    : Number.POSITIVE_INFINITY;
}
