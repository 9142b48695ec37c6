import { WriterHandle } from "../dist/glue/distributedlog.js";
import type * as Public from "../types/index.js";
import { Alive } from "./alive.js";
import { Dlsn } from "./dlsn.js";
import { aborted, closed, failed, SettingsError, tooLarge } from "./errors.js";
import { init } from "./load.js";
import { Queue } from "./queue.js";
import { Requests } from "./requests.js";
import { Server } from "./server.js";
import { check, isCount, moduleSettings, refusal } from "./settings.js";

/** A write whose promise is still open. */
interface Open {
  resolve(written: Public.Written): void;
  reject(error: unknown): void;
}

/** What waits for its turn: a record for room, a flush or a close for the records before it. */
type Waiting = { bytes: Uint8Array; open: Open } | { barrier: (handle: WriterHandle) => void };

/** What the module answers to a record. */
const TAKEN = 0;
const FULL = 1;
const TOO_LARGE = 2;

/** Those of the module that are shown. */
const COUNTERS = [
  "records",
  "bytes",
  "recordsWritten",
  "recordsFailed",
  "sets",
  "setsWritten",
  "attempts",
  "retries",
  "hedgesSent",
  "hedgesWon",
  "hedgesWasted",
  "cancelled",
  "lateAnswers",
  "failures",
  "budgetExhausted",
  "pushbacks",
  "probationEntries",
  "probationExits",
] as const;

const utf8 = new TextEncoder();

export class MultiStreamWriter implements Public.MultiStreamWriter {
  readonly streams: readonly string[];
  readonly #requests: Requests;
  readonly #queue = new Queue<Waiting>();
  /** By token. What is free is in `#free`. */
  readonly #open: (Open | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #flushes = new Map<number, () => void>();
  #flushTokens = 0;
  #handle: WriterHandle | undefined;
  /** Why there is no handle and will be none. */
  #broken: unknown;
  /** For how many bytes room was asked; negative when it was not. */
  #waitsFor = -1;
  #closing: Promise<void> | undefined;
  #lastStats: Public.WriterStats | undefined;
  #stopListening: () => void = () => {};
  readonly #alive = new Alive();

  constructor(options: Public.MultiStreamWriterOptions) {
    check(options);
    this.streams = Object.freeze([...options.streams]);
    this.#requests = new Requests(new Server(options), this.streams, () => this.#running());
    init().then(
      () => this.#start(options),
      (error: unknown) => this.#break(error),
    );
  }

  write(record: Public.RecordBytes, { signal }: Public.WriteOptions = {}): Promise<Public.Written> {
    if (signal?.aborted) return Promise.reject(aborted("notWritten", signal.reason));
    if (this.#closing !== undefined) return Promise.reject(closed());
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      const open = { resolve, reject };
      if (
        this.#handle === undefined ||
        this.#queue.length > 0 ||
        !this.#take(this.#handle, bytesOf(record), open)
      ) {
        // A copy: the caller's buffer is the caller's again when this returns.
        this.#queue.push({
          bytes: typeof record === "string" ? utf8.encode(record) : bytesOf(record).slice(),
          open,
        });
        this.#drain();
      }
      if (signal !== undefined) this.#giveUpWith(signal, open);
      this.#count();
    });
  }

  tryWrite(
    record: Public.RecordBytes,
    options: Public.WriteOptions = {},
  ): Promise<Public.Written> | undefined {
    const { signal } = options;
    if (signal?.aborted || this.#closing !== undefined || this.#broken !== undefined)
      return this.write(record, options);
    const handle = this.#handle;
    if (handle === undefined || this.#queue.length > 0) return undefined;
    let taken = false;
    const written = new Promise<Public.Written>((resolve, reject) => {
      const open = { resolve, reject };
      taken = this.#take(handle, bytesOf(record), open);
      if (taken && signal !== undefined) this.#giveUpWith(signal, open);
      this.#count();
    });
    return taken ? written : undefined;
  }

  flush(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    return this.#wait((handle, token) => handle.flush(token));
  }

  close({ timeout }: Public.CloseOptions = {}): Promise<void> {
    if (timeout !== undefined && !isCount(timeout))
      throw new SettingsError("timeout", timeout, "a number of milliseconds");
    const within = timeout ?? Number.POSITIVE_INFINITY;
    const began = performance.now();
    if (this.#closing === undefined) {
      this.#closing = this.#wait((handle, token) =>
        handle.close(token, within - (performance.now() - began)),
      ).then(() => this.#end());
    }
    if (timeout !== undefined) {
      const force = setTimeout(() => this.#force(), timeout);
      void this.#closing.finally(() => clearTimeout(force));
    }
    return this.#closing;
  }

  stats(): Public.WriterStats {
    return this.#lastStats ?? { ...this.#figures(this.#handle), waiting: this.#queue.length };
  }

  declare [Symbol.asyncDispose]: () => Promise<void>;

  #figures(handle: WriterHandle | undefined): Omit<Public.WriterStats, "waiting"> {
    const counts = handle?.counters() ?? [];
    const names =
      handle === undefined ? [] : WriterHandle.counter_names().split(",").map(camelCase);
    const streams = this.streams.map((name, index): [string, Public.StreamStats] => {
      const [healthy = 1, latency = -1, attempts = 0, won = 0, failures = 0, givenUp = 0] =
        handle?.stream(index) ?? [];
      return [
        name,
        {
          healthy: healthy !== 0,
          latency: latency < 0 ? undefined : latency,
          attempts,
          won,
          failed: failures,
          givenUp,
        },
      ];
    });
    const counters = COUNTERS.map((name) => [name, counts[names.indexOf(name)] ?? 0]);
    return {
      ...(Object.fromEntries(counters) as Record<(typeof COUNTERS)[number], number>),
      streams: Object.fromEntries(streams),
    };
  }

  #running(): WriterHandle {
    if (this.#handle === undefined) throw new Error("requests are made by a writer that runs");
    return this.#handle;
  }

  #start(options: Public.MultiStreamWriterOptions): void {
    try {
      const settings = moduleSettings(options);
      this.#handle = new WriterHandle(this.streams.length, settings, this.#host());
      settings.free();
    } catch (refused) {
      this.#break(typeof refused === "string" ? refusal(refused, options) : refused);
      return;
    }
    if (options.flushOnPageHide !== false) this.#flushWhenLeft();
    this.#drain();
  }

  /** What the module calls: `wasm/src/host.rs`. */
  #host() {
    return {
      send: this.#requests.send.bind(this.#requests),
      abort: this.#requests.abort.bind(this.#requests),
      written: (
        token: number,
        stream: number,
        segment: bigint,
        entry: bigint,
        slot: bigint,
        attempts: number,
      ) =>
        this.#settle(token)?.resolve({
          stream: this.streams[stream] ?? "",
          dlsn: new Dlsn(segment, entry, slot),
          attempts,
        }),
      failed: (
        token: number,
        reason: string,
        known: Public.Known,
        cause: string | undefined,
        code: number,
        attempts: number,
      ) => {
        const met =
          cause === undefined ? undefined : (this.#requests.lastProblem ?? new Error(cause));
        this.#settle(token)?.reject(
          failed(reason, { known, attempts, status: code === 0 ? undefined : code, cause: met }),
        );
      },
      done: (token: number) => {
        this.#flushes.get(token)?.();
        this.#flushes.delete(token);
        this.#count();
      },
      room: () => this.#room(),
    };
  }

  #break(error: unknown): void {
    this.#broken = error;
    for (let waiting = this.#queue.shift(); waiting !== undefined; waiting = this.#queue.shift()) {
      if ("open" in waiting) waiting.open.reject(error);
    }
    // There is nothing to wait for.
    for (const done of this.#flushes.values()) done();
    this.#flushes.clear();
    this.#count();
  }

  /** Gives a record to the module; whether it was decided. */
  #take(handle: WriterHandle, bytes: Uint8Array, open: Open, held = false): boolean {
    const token = this.#free.pop() ?? this.#open.push(undefined) - 1;
    this.#open[token] = open;
    const taken = held ? handle.write_held(token, bytes) : handle.write(token, bytes);
    if (taken === TAKEN) return true;
    this.#settle(token);
    if (taken === FULL) return false;
    open.reject(
      taken === TOO_LARGE ? tooLarge(bytes.byteLength, handle.max_record_bytes()) : closed(),
    );
    return true;
  }

  #settle(token: number): Open | undefined {
    const open = this.#open[token];
    this.#open[token] = undefined;
    this.#free.push(token);
    this.#count();
    return open;
  }

  /** Looks whether there is something to wait for. */
  #count(): void {
    this.#alive.needed =
      this.#open.length > this.#free.length || this.#queue.length > 0 || this.#flushes.size > 0;
  }

  /** Takes what waits, until there is no room. */
  #drain(): void {
    const handle = this.#handle;
    if (handle === undefined || this.#waitsFor >= 0) return;
    for (let first = this.#queue.peek(); first !== undefined; first = this.#queue.peek()) {
      if ("barrier" in first) {
        first.barrier(handle);
      } else if (!this.#take(handle, first.bytes, first.open)) {
        this.#waitsFor = first.bytes.byteLength;
        handle.wait_for_room(this.#waitsFor);
        return;
      }
      this.#queue.shift();
    }
  }

  /** There is room for as many bytes as were asked for. */
  #room(): void {
    const held = this.#waitsFor;
    this.#waitsFor = -1;
    const handle = this.#handle;
    const first = this.#queue.peek();
    if (handle === undefined) return;
    if (first !== undefined && "open" in first && first.bytes.byteLength <= held) {
      if (this.#take(handle, first.bytes, first.open, true)) this.#queue.shift();
    } else {
      // Who waited has gone, or a longer one came forward.
      handle.release_held();
    }
    this.#drain();
  }

  /** Lets a signal give up a write that is open. */
  #giveUpWith(signal: AbortSignal, open: Open): void {
    const { resolve, reject } = open;
    const onAbort = () => {
      // Before it was accepted nothing happened to it; afterwards nobody can say, and the record's neighbours go on.
      reject(aborted(this.#takeBack(open) ? "notWritten" : "unknown", signal.reason));
    };
    open.resolve = (written) => {
      signal.removeEventListener("abort", onAbort);
      resolve(written);
    };
    open.reject = (error) => {
      signal.removeEventListener("abort", onAbort);
      reject(error);
    };
    signal.addEventListener("abort", onAbort, { once: true });
  }

  #takeBack(open: Open): boolean {
    const waiting = this.#queue.find((item) => "open" in item && item.open === open);
    return waiting !== undefined && this.#queue.remove(waiting);
  }

  /** A flush or a close, behind all records that wait. */
  #wait(begin: (handle: WriterHandle, token: number) => void): Promise<void> {
    if (this.#broken !== undefined) return Promise.resolve();
    const token = this.#flushTokens++;
    const done = new Promise<void>((resolve) => this.#flushes.set(token, resolve));
    this.#queue.push({ barrier: (handle) => begin(handle, token) });
    this.#drain();
    this.#count();
    return done;
  }

  /** The time of a close is over: what waits is refused, and what is in flight too. */
  #force(): void {
    if (this.#handle === undefined) {
      this.#break(closed());
      return;
    }
    this.#handle.close(this.#flushTokens++, 0);
  }

  #end(): void {
    this.#stopListening();
    this.#alive.end();
    if (this.#handle === undefined) return;
    this.#lastStats = this.stats();
    const handle = this.#handle;
    this.#handle = undefined;
    this.#broken ??= closed();
    handle.free();
  }

  /** A page that is hidden may never be shown again, and one that is left certainly not. */
  #flushWhenLeft(): void {
    if (typeof document !== "object" || typeof addEventListener !== "function") return;
    const flush = () => this.#handle?.flush(this.#flushTokens++);
    const left = () => {
      this.#requests.leave();
      flush();
    };
    const shown = () => this.#requests.stay();
    const hidden = () => {
      if (document.visibilityState === "hidden") flush();
    };
    addEventListener("pagehide", left);
    addEventListener("pageshow", shown);
    document.addEventListener("visibilitychange", hidden);
    this.#stopListening = () => {
      removeEventListener("pagehide", left);
      removeEventListener("pageshow", shown);
      document.removeEventListener("visibilitychange", hidden);
    };
  }
}

// Where there is such a symbol; a method of that name would be called "undefined" elsewhere.
if (typeof Symbol.asyncDispose === "symbol") {
  MultiStreamWriter.prototype[Symbol.asyncDispose] = function (this: MultiStreamWriter) {
    return this.close();
  };
}

function bytesOf(record: Public.RecordBytes): Uint8Array {
  if (typeof record === "string") return utf8.encode(record);
  if (record instanceof Uint8Array) return record;
  if (ArrayBuffer.isView(record))
    return new Uint8Array(record.buffer, record.byteOffset, record.byteLength);
  if (record instanceof ArrayBuffer) return new Uint8Array(record);
  throw new TypeError("a record is a string, an ArrayBuffer, or a view of one");
}

function camelCase(name: string): string {
  return name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}
