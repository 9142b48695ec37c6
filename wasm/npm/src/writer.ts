import { WriterHandle } from "../dist/glue/distributedlog.js";
import type * as Public from "../types/index.js";
import { Dlsn } from "./dlsn.js";
import { SettingsError } from "./errors.js";
import { aborted, closed, failed, full, noRoom, tooLarge } from "./failures.js";
import { KeepAlive } from "./keep-alive.js";
import { Latencies } from "./latencies.js";
import { init } from "./load.js";
import { Queue } from "./queue.js";
import { Requests } from "./requests.js";
import { Server } from "./server.js";
import { bounds, check, isCount, moduleSettings, refusal } from "./settings.js";
import { onAbort } from "./signals.js";
import { clearTimeout, MAX_TIMEOUT_MS, now, setTimeout } from "./timers.js";

/** A write whose promise is not settled. */
interface PendingWrite {
  /** Length of the record. */
  readonly size: number;
  /** Time of the call. */
  readonly began: number;
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

/** Counters of the module, in the order in which `wasm/src/writer.rs` returns them. */
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
  readonly #bounds: ReturnType<typeof bounds>;
  /** Records and their bytes that the writer holds: those of the module and of the queue. */
  #records = 0;
  #bytes = 0;
  /** Time at which a record was last written, or the module was loaded. */
  #progressed = 0;
  readonly #latencies = new Latencies();
  /** Timer of the first record of the queue. */
  #expiry: ReturnType<typeof setTimeout> | undefined;
  #ready: { promise: Promise<void>; resolve: () => void } | undefined;
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
    this.#bounds = bounds(options);
    this.#requests = new Requests(
      new Server(options),
      this.streams,
      () => this.#runningHandle(),
      options.onAttempt,
    );
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
      const { pendingRecords, waitingRecords, waitingBytes } = this.#bounds;
      const bytes = bytesOf(record);
      const write = { resolve, reject, size: bytes.byteLength, began: now() };
      if (signal !== undefined) this.#rejectOnAbort(signal, write);
      if (this.#put(record, bytes, write, waitingRecords, waitingBytes)) return;
      write.reject(
        this.#records < pendingRecords + waitingRecords
          ? full("waitingBytes", waitingBytes)
          : full("waitingRecords", waitingRecords),
      );
    });
  }

  tryWrite(
    record: Public.RecordBytes,
    options: Public.WriteOptions = {},
  ): Promise<Public.Written> | undefined {
    const { signal } = options;
    if (signal?.aborted || this.#closing !== undefined || this.#failure !== undefined)
      // Of this class: one that is derived may count calls of its own.
      return MultiStreamWriter.prototype.write.call(this, record, options);
    let accepted = false;
    const written = new Promise<Public.Written>((resolve, reject) => {
      const bytes = bytesOf(record);
      const write = { resolve, reject, size: bytes.byteLength, began: now() };
      accepted = this.#put(record, bytes, write, 0, 0);
      if (accepted && signal !== undefined) this.#rejectOnAbort(signal, write);
    });
    return accepted ? written : undefined;
  }

  ready(): Promise<void> {
    const { pendingRecords, bufferedBytes } = this.#bounds;
    if (
      (this.#records < pendingRecords && this.#bytes < bufferedBytes) ||
      this.#closing !== undefined ||
      this.#failure !== undefined
    )
      return Promise.resolve();
    if (this.#ready === undefined) {
      let resolve = () => {};
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      this.#ready = { promise, resolve };
    }
    return this.#ready.promise;
  }

  flush(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    return this.#queueBarrier((handle, token) => handle.flush(token));
  }

  close({ timeout }: Public.CloseOptions = {}): Promise<void> {
    if (timeout !== undefined && !isCount(timeout))
      throw new SettingsError("timeout", timeout, "a number of milliseconds");
    const within = timeout ?? Number.POSITIVE_INFINITY;
    const began = now();
    if (this.#closing === undefined) {
      this.#closing = this.#queueBarrier((handle, token) =>
        handle.close(token, within - (now() - began)),
      ).then(() => this.#release());
    }
    if (timeout !== undefined) {
      const timer = setTimeout(() => this.#failPending(), timeout);
      void this.#closing.finally(() => clearTimeout(timer));
    }
    return this.#closing;
  }

  stats(): Public.WriterStats {
    return (
      this.#lastStats ?? {
        ...this.#counters(this.#handle),
        waiting: this.#queue.length,
        writeLatency: this.#latencies.snapshot(),
      }
    );
  }

  declare [Symbol.asyncDispose]: () => Promise<void>;

  #counters(handle: WriterHandle | undefined): Omit<Public.WriterStats, "waiting" | "writeLatency"> {
    const counts = handle?.counters() ?? [];
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
    const counters = COUNTERS.map((name, place) => [name, counts[place] ?? 0]);
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
      const [names, values] = moduleSettings(options);
      this.#handle = new WriterHandle(this.streams.length, names, new Float64Array(values), this.#host());
    } catch (refused) {
      this.#fail(typeof refused === "string" ? refusal(refused, options) : refused);
      return;
    }
    this.#progressed = now();
    // Until now only waitTimeout counted.
    clearTimeout(this.#expiry);
    this.#expiry = undefined;
    if (options.flushOnPageHide !== false) this.#flushOnPageHide();
    this.#drain();
    this.#armExpiry();
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
      ) => {
        const write = this.#settle(token);
        if (write === undefined) return;
        this.#progressed = now();
        this.#latencies.add(this.#progressed - write.began);
        write.resolve({
          stream: this.streams[stream] ?? "",
          dlsn: new Dlsn(segment, entry, slot),
          attempts,
        });
      },
      failed: (
        token: number,
        reason: string,
        known: Public.Known,
        attempt: number | undefined,
        attempts: number,
      ) => {
        this.#settle(token)?.reject(
          failed(reason, { ...this.#requests.failureOf(attempt, attempts), known, attempts }),
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
      if ("write" in item) this.#end(item.write).reject(error);
    }
    this.#wakeReady();
    // Without a handle no record is pending, so flushes and closes are done.
    for (const done of this.#flushes.values()) done();
    this.#flushes.clear();
    this.#updateKeepAlive();
  }

  /**
   * Accepts or queues a record. Returns `false` if the writer holds as much as its settings allow,
   * and `more` records or bytes beyond.
   */
  #put(
    record: Public.RecordBytes,
    bytes: Uint8Array,
    write: PendingWrite,
    moreRecords: number,
    moreBytes: number,
  ): boolean {
    this.#records += 1;
    this.#bytes += write.size;
    const handle = this.#handle;
    const waits = handle === undefined || this.#queue.length > 0;
    if (waits || !this.#accept(handle, bytes, write)) {
      const { pendingRecords, bufferedBytes } = this.#bounds;
      if (this.#records > pendingRecords + moreRecords || this.#bytes > bufferedBytes + moreBytes) {
        this.#end(write);
        return false;
      }
      // A copy: the caller may change the buffer when this returns.
      this.#queue.push({ bytes: typeof record === "string" ? bytes : bytes.slice(), write });
      this.#drain();
      this.#armExpiry();
    }
    this.#updateKeepAlive();
    return true;
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
    if (code === FULL) {
      this.#pending[token] = undefined;
      this.#freeTokens.push(token);
      return false;
    }
    this.#settle(token)?.reject(
      code === TOO_LARGE ? tooLarge(bytes.byteLength, handle.max_record_bytes()) : closed(),
    );
    return true;
  }

  #settle(token: number): PendingWrite | undefined {
    const write = this.#pending[token];
    if (write === undefined) return undefined;
    this.#pending[token] = undefined;
    this.#freeTokens.push(token);
    return this.#end(write);
  }

  /** Counts the end of a write, whose room others may use. */
  #end(write: PendingWrite): PendingWrite {
    this.#records -= 1;
    this.#bytes -= write.size;
    const { pendingRecords, bufferedBytes } = this.#bounds;
    // At half, so that who waits is woken for many records at once.
    if (this.#records * 2 <= pendingRecords && this.#bytes * 2 <= bufferedBytes) this.#wakeReady();
    this.#updateKeepAlive();
    return write;
  }

  #wakeReady(): void {
    this.#ready?.resolve();
    this.#ready = undefined;
  }

  /** Keeps the process alive while a write, a flush or a close is pending. */
  #updateKeepAlive(): void {
    this.#keepAlive.needed = this.#records > 0 || this.#flushes.size > 0;
  }

  /** Processes the queue until there is no room. */
  #drain(): void {
    const handle = this.#handle;
    if (handle === undefined || this.#requestedRoom >= 0) return;
    for (let first = this.#queue.peek(); first !== undefined; first = this.#queue.peek()) {
      if ("barrier" in first) {
        first.barrier(handle);
      } else if (this.#expires(first.write, now())) {
        // Room that comes with its end: behind records that failed.
      } else if (!this.#accept(handle, first.bytes, first.write)) {
        this.#requestedRoom = first.bytes.byteLength;
        handle.wait_for_room(this.#requestedRoom);
        return;
      }
      this.#queue.shift();
    }
  }

  /**
   * Sets the timer for the first record of the queue: no other one expires before it. A timer that
   * is set stays: it finds the time anew when it fires.
   */
  #armExpiry(): void {
    const first = this.#queue.peek();
    if (first === undefined || this.#expiry !== undefined) return;
    const after = "write" in first ? this.#expiresAt(first.write) - now() : this.#bounds.requestTimeout;
    this.#expiry = setTimeout(() => this.#expire(), Math.min(after + 1, MAX_TIMEOUT_MS));
    (this.#expiry as { unref?: () => void }).unref?.();
  }

  /**
   * Returns the time at which a write stops waiting for room: once nothing was written for
   * `requestTimeout`, or after `waitTimeout`, which alone counts until the module is loaded.
   */
  #expiresAt({ began }: PendingWrite): number {
    const { requestTimeout, waitTimeout } = this.#bounds;
    if (this.#handle === undefined) return began + waitTimeout;
    return Math.min(began + waitTimeout, Math.max(began, this.#progressed) + requestTimeout);
  }

  /** Fails a write of the queue if it has waited too long. Returns `true` if it has. */
  #expires(write: PendingWrite, time: number): boolean {
    if (this.#expiresAt(write) > time) return false;
    const setting =
      write.began + this.#bounds.waitTimeout > time ? "requestTimeout" : "waitTimeout";
    this.#end(write).reject(noRoom(setting, this.#requests.noResponse));
    return true;
  }

  /** Fails the records of the queue that have waited too long. */
  #expire(): void {
    this.#expiry = undefined;
    const time = now();
    for (let first = this.#queue.peek(); first !== undefined; first = this.#queue.peek()) {
      if ("write" in first) {
        if (!this.#expires(first.write, time)) break;
      } else {
        if (this.#handle === undefined) break;
        first.barrier(this.#handle);
      }
      this.#queue.shift();
    }
    this.#armExpiry();
  }

  /** Uses or releases the room that `wait_for_room` has reserved. */
  #onRoom(): void {
    const held = this.#requestedRoom;
    this.#requestedRoom = -1;
    const handle = this.#handle;
    const first = this.#queue.peek();
    if (handle === undefined) return;
    if (
      first !== undefined &&
      "write" in first &&
      first.bytes.byteLength <= held &&
      this.#expiresAt(first.write) > now()
    ) {
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
    if (item === undefined || !this.#queue.remove(item)) return false;
    this.#end(write);
    return true;
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
    clearTimeout(this.#expiry);
    this.#wakeReady();
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
  // By its tag, which buffers of other realms have too.
  if (Object.prototype.toString.call(record) === "[object ArrayBuffer]") return new Uint8Array(record);
  throw new TypeError("a record must be a string, an ArrayBuffer or a view of one");
}
