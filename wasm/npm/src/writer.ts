import { WriterHandle } from "../dist/glue/distributedlog.js";
import type * as Public from "../types/index.js";
import { Dlsn } from "./dlsn.js";
import { aborted, closed, failed, SettingsError, tooLarge } from "./errors.js";
import { KeepAlive } from "./keep-alive.js";
import { init } from "./load.js";
import { Queue } from "./queue.js";
import { Requests } from "./requests.js";
import { Server } from "./server.js";
import { check, isCount, moduleSettings, refusal } from "./settings.js";
import { onAbort } from "./signals.js";

/** A write whose promise is not settled. */
interface PendingWrite {
  resolve(written: Public.Written): void;
  reject(error: unknown): void;
}

/**
 * An item of the queue: a record that waits for room, or a flush or close behind the records before
 * it.
 */
type QueueItem =
  { bytes: Uint8Array; write: PendingWrite } | { barrier: (handle: WriterHandle) => void };

/** Return codes of `WriterHandle.write`. Every other code means that the writer is closed. */
const ACCEPTED = 0;
const FULL = 1;
const TOO_LARGE = 2;

/** Counters of the module that `stats` shows. */
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
  readonly #queue = new Queue<QueueItem>();
  /** Unsettled writes by token. Free tokens are in `#freeTokens`. */
  readonly #pending: (PendingWrite | undefined)[] = [];
  readonly #freeTokens: number[] = [];
  readonly #flushes = new Map<number, () => void>();
  #flushTokens = 0;
  #handle: WriterHandle | undefined;
  /** Reason why there is no handle and will be none. */
  #failure: unknown;
  /** Bytes that `wait_for_room` was called with; negative while it is not pending. */
  #requestedRoom = -1;
  #closing: Promise<void> | undefined;
  #lastStats: Public.WriterStats | undefined;
  #stopListening: () => void = () => {};
  readonly #keepAlive = new KeepAlive();

  constructor(options: Public.MultiStreamWriterOptions) {
    check(options);
    this.streams = Object.freeze([...options.streams]);
    this.#requests = new Requests(new Server(options), this.streams, () => this.#runningHandle());
    init().then(
      () => this.#start(options),
      (error: unknown) => this.#fail(error),
    );
  }

  write(record: Public.RecordBytes, { signal }: Public.WriteOptions = {}): Promise<Public.Written> {
    if (signal?.aborted) return Promise.reject(aborted("notWritten", signal.reason));
    if (this.#closing !== undefined) return Promise.reject(closed());
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const write = { resolve, reject };
      if (
        this.#handle === undefined ||
        this.#queue.length > 0 ||
        !this.#accept(this.#handle, bytesOf(record), write)
      ) {
        // A copy: the caller may change the buffer when this returns.
        this.#queue.push({
          bytes: typeof record === "string" ? utf8.encode(record) : bytesOf(record).slice(),
          write,
        });
        this.#drain();
      }
      if (signal !== undefined) this.#rejectOnAbort(signal, write);
      this.#updateKeepAlive();
    });
  }

  tryWrite(
    record: Public.RecordBytes,
    options: Public.WriteOptions = {},
  ): Promise<Public.Written> | undefined {
    const { signal } = options;
    if (signal?.aborted || this.#closing !== undefined || this.#failure !== undefined)
      return this.write(record, options);
    const handle = this.#handle;
    if (handle === undefined || this.#queue.length > 0) return undefined;
    let accepted = false;
    const written = new Promise<Public.Written>((resolve, reject) => {
      const write = { resolve, reject };
      accepted = this.#accept(handle, bytesOf(record), write);
      if (accepted && signal !== undefined) this.#rejectOnAbort(signal, write);
      this.#updateKeepAlive();
    });
    return accepted ? written : undefined;
  }

  flush(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    return this.#queueBarrier((handle, token) => handle.flush(token));
  }

  close({ timeout }: Public.CloseOptions = {}): Promise<void> {
    if (timeout !== undefined && !isCount(timeout))
      throw new SettingsError("timeout", timeout, "a number of milliseconds");
    const within = timeout ?? Number.POSITIVE_INFINITY;
    const began = performance.now();
    if (this.#closing === undefined) {
      this.#closing = this.#queueBarrier((handle, token) =>
        handle.close(token, within - (performance.now() - began)),
      ).then(() => this.#release());
    }
    if (timeout !== undefined) {
      const timer = setTimeout(() => this.#failPending(), timeout);
      void this.#closing.finally(() => clearTimeout(timer));
    }
    return this.#closing;
  }

  stats(): Public.WriterStats {
    return this.#lastStats ?? { ...this.#counters(this.#handle), waiting: this.#queue.length };
  }

  declare [Symbol.asyncDispose]: () => Promise<void>;

  #counters(handle: WriterHandle | undefined): Omit<Public.WriterStats, "waiting"> {
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

  #runningHandle(): WriterHandle {
    if (this.#handle === undefined) throw new Error("the writer does not run");
    return this.#handle;
  }

  #start(options: Public.MultiStreamWriterOptions): void {
    try {
      const settings = moduleSettings(options);
      this.#handle = new WriterHandle(this.streams.length, settings, this.#host());
      settings.free();
    } catch (refused) {
      this.#fail(typeof refused === "string" ? refusal(refused, options) : refused);
      return;
    }
    if (options.flushOnPageHide !== false) this.#flushOnPageHide();
    this.#drain();
  }

  /** Returns the methods that the module calls: `wasm/src/host.rs`. */
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
        attempt: number | undefined,
        attempts: number,
      ) => {
        this.#settle(token)?.reject(
          failed(reason, { ...this.#requests.failureOf(attempt), known, attempts }),
        );
      },
      done: (token: number) => {
        this.#flushes.get(token)?.();
        this.#flushes.delete(token);
        this.#updateKeepAlive();
      },
      room: () => this.#onRoom(),
    };
  }

  #fail(error: unknown): void {
    this.#failure = error;
    for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) {
      if ("write" in item) item.write.reject(error);
    }
    // Without a handle no record is pending, so flushes and closes are done.
    for (const done of this.#flushes.values()) done();
    this.#flushes.clear();
    this.#updateKeepAlive();
  }

  /**
   * Passes a record to the module. Returns `false` if there is no room; otherwise it has accepted
   * or rejected the write.
   */
  #accept(handle: WriterHandle, bytes: Uint8Array, write: PendingWrite, held = false): boolean {
    const token = this.#freeTokens.pop() ?? this.#pending.push(undefined) - 1;
    this.#pending[token] = write;
    const code = held ? handle.write_held(token, bytes) : handle.write(token, bytes);
    if (code === ACCEPTED) return true;
    this.#settle(token);
    if (code === FULL) return false;
    write.reject(
      code === TOO_LARGE ? tooLarge(bytes.byteLength, handle.max_record_bytes()) : closed(),
    );
    return true;
  }

  #settle(token: number): PendingWrite | undefined {
    const write = this.#pending[token];
    this.#pending[token] = undefined;
    this.#freeTokens.push(token);
    this.#updateKeepAlive();
    return write;
  }

  /** Keeps the process alive while a write, a flush or a close is pending. */
  #updateKeepAlive(): void {
    this.#keepAlive.needed =
      this.#pending.length > this.#freeTokens.length ||
      this.#queue.length > 0 ||
      this.#flushes.size > 0;
  }

  /** Processes the queue until there is no room. */
  #drain(): void {
    const handle = this.#handle;
    if (handle === undefined || this.#requestedRoom >= 0) return;
    for (let first = this.#queue.peek(); first !== undefined; first = this.#queue.peek()) {
      if ("barrier" in first) {
        first.barrier(handle);
      } else if (!this.#accept(handle, first.bytes, first.write)) {
        this.#requestedRoom = first.bytes.byteLength;
        handle.wait_for_room(this.#requestedRoom);
        return;
      }
      this.#queue.shift();
    }
  }

  /** Uses or releases the room that `wait_for_room` has reserved. */
  #onRoom(): void {
    const held = this.#requestedRoom;
    this.#requestedRoom = -1;
    const handle = this.#handle;
    const first = this.#queue.peek();
    if (handle === undefined) return;
    if (first !== undefined && "write" in first && first.bytes.byteLength <= held) {
      if (this.#accept(handle, first.bytes, first.write, true)) this.#queue.shift();
    } else {
      // The write that asked was aborted, and the next one needs more room.
      handle.release_held();
    }
    this.#drain();
  }

  /** Rejects a pending write when its signal is aborted. */
  #rejectOnAbort(signal: AbortSignal, write: PendingWrite): void {
    const { resolve, reject } = write;
    const forget = onAbort(signal, () => {
      // A record that still waits is not written. One that was accepted may be: its set goes on,
      // because other records share it.
      write.reject(aborted(this.#removeFromQueue(write) ? "notWritten" : "unknown", signal.reason));
    });
    write.resolve = (written) => {
      forget();
      resolve(written);
    };
    write.reject = (error) => {
      forget();
      reject(error);
    };
  }

  /** Removes a write from the queue. Returns `false` if it was accepted already. */
  #removeFromQueue(write: PendingWrite): boolean {
    const item = this.#queue.find((each) => "write" in each && each.write === write);
    return item !== undefined && this.#queue.remove(item);
  }

  /** Queues a flush or a close behind all records that wait. */
  #queueBarrier(begin: (handle: WriterHandle, token: number) => void): Promise<void> {
    if (this.#failure !== undefined) return Promise.resolve();
    const token = this.#flushTokens++;
    const done = new Promise<void>((resolve) => this.#flushes.set(token, resolve));
    this.#queue.push({ barrier: (handle) => begin(handle, token) });
    this.#drain();
    this.#updateKeepAlive();
    return done;
  }

  /** Fails all pending records: the timeout of a close has elapsed. */
  #failPending(): void {
    if (this.#handle === undefined) {
      this.#fail(closed());
      return;
    }
    this.#handle.close(this.#flushTokens++, 0);
  }

  #release(): void {
    this.#stopListening();
    this.#keepAlive.end();
    if (this.#handle === undefined) return;
    this.#lastStats = this.stats();
    const handle = this.#handle;
    this.#handle = undefined;
    this.#failure ??= closed();
    handle.free();
  }

  /** Flushes when the page is hidden or left: a hidden page may never be shown again. */
  #flushOnPageHide(): void {
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

// Only where the symbol exists: elsewhere the method would be named "undefined".
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
  throw new TypeError("a record must be a string, an ArrayBuffer or a view of one");
}

function camelCase(name: string): string {
  return name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}
