import type * as Public from "../types/index.js";
import { Dlsn } from "./dlsn.js";
import { ReadError } from "./errors.js";
import { lines, parsed, strange } from "./lines.js";
import { Queue } from "./queue.js";
import type { RecordLine } from "./record.js";
import { problemOf, type Server } from "./server.js";
import { onAbort } from "./signals.js";
import { escaped, messageOf } from "./text.js";
import { clearTimeout, setTimeout } from "./timers.js";

/**
 * Backoff before a failed stream is read again, in milliseconds: doubles from the first to the
 * longest.
 */
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;

/** Time that a stream keeps its connection while others wait for one, in milliseconds. */
const TIME_SLICE_MS = 250;

/** Content type of a response that has records and record sets as they are stored. */
const ENTRIES = "application/vnd.distributedlog.entries";

/** HTTP statuses with which a server refuses a read for ever. */
const REFUSALS = [400, 401, 403, 405, 409, 410, 415];

/** Name of the problem of a stream that was deleted, and created again. */
const RECREATED = "STREAM_RECREATED";

export type ReadPosition = { readonly after: string } | { readonly from: string };

interface MalformedLine {
  event: "malformed";
  dlsn: string;
  after: string;
  slots: number;
  detail: string;
}

export type Line =
  | RecordLine
  | MalformedLine
  | { event: "heartbeat"; next: string }
  | { event: "end"; reason: string; next?: string; detail?: string };

/** State and callbacks that the tails of a reader share. */
export interface TailContext {
  readonly server: Server;
  readonly follow: boolean;
  readonly buffer: number;
  readonly silence: number;
  readonly connections: ConnectionSlots;
  readonly signal: AbortSignal;
  /** Wakes the reader: there is a record, an end or a failure. */
  wake(): void;
  fault(fault: Public.StreamFault): void;
  fail(error: unknown): void;
  /** The server has sent something. */
  contact(): void;
  /** A request had no response, for this reason. */
  noContact(cause: Error): void;
  connected(): void;
  malformed(): void;
}

/** A semaphore over the reader's connections, first come first served. */
export class ConnectionSlots {
  #left: number;
  readonly #waiting = new Queue<() => void>();

  constructor(connections: number) {
    this.#left = connections;
  }

  get wanted(): boolean {
    return this.#waiting.length > 0;
  }

  async acquire(): Promise<void> {
    if (this.#left > 0) this.#left -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#left += 1;
    else next();
  }
}

/** One stream of a reader: reads ahead, and resumes where it was when the connection is lost. */
export class Tail {
  readonly stream: string;
  /** Position after the records delivered. */
  position: ReadPosition;
  /** Records read and not yet delivered. */
  readonly records = new Queue<RecordLine>();
  ended = false;
  /** True if it ended because the stream does not exist, or no longer. */
  missing = false;
  /** Position after the records read. */
  #next: ReadPosition;
  readonly #shared: TailContext;
  #backoffMs = 0;
  #resume: () => void = () => {};

  constructor(stream: string, from: ReadPosition, shared: TailContext) {
    this.stream = stream;
    this.position = from;
    this.#next = from;
    this.#shared = shared;
  }

  /** Takes the next record, and resumes reading when the buffer is half empty. */
  shift(): RecordLine | undefined {
    const record = this.records.shift();
    if (record !== undefined) this.position = { after: record.after };
    if (this.records.length * 2 <= this.#shared.buffer) this.#resume();
    return record;
  }

  /** Reads until the stream ends or the reader is closed. */
  async run(): Promise<void> {
    const { connections, signal } = this.#shared;
    while (!this.ended && !signal.aborted) {
      await connections.acquire();
      try {
        if (!signal.aborted) await this.#read();
      } catch (error) {
        await this.#onFailure(error);
      } finally {
        connections.release();
      }
      if (this.#backoffMs > 0 && !this.ended && !signal.aborted)
        await sleep(this.#backoffMs, signal);
    }
    this.ended = true;
    this.#shared.wake();
  }

  /** Makes one request, and reads its response to the end. */
  async #read(): Promise<void> {
    const { server, follow, silence, signal, connections } = this.#shared;
    const stored = await loadFrames();
    const request = new AbortController();
    const forget = onAbort(signal, () => {
      request.abort();
      this.#resume();
    });
    // The server sends a line at least twice in that time: heartbeat_ms is half of it.
    const silenceWatch = new Watchdog(silence, () =>
      request.abort(new ServerProblem(`${server.base} was silent for ${silence} ms`)),
    );
    const slice = new Watchdog(TIME_SLICE_MS, () =>
      connections.wanted ? request.abort(SLICE_OVER) : slice.set(),
    );
    silenceWatch.set();
    try {
      const response = await server.request(this.#url(follow, silence), {
        method: "GET",
        signal: request.signal,
        cache: "no-store",
        // Proxies of earlier versions have lines only.
        headers: stored ? { accept: `${ENTRIES}, application/x-ndjson;q=0.5` } : {},
      });
      this.#shared.contact();
      if (!response.ok || response.body === null) {
        const problem = await problemOf(response);
        const { status, name, message } = problem;
        if (REFUSALS.includes(status))
          throw new ReadError(
            name === RECREATED || name === "POSITION_BEYOND_END" ? name : "REFUSED",
            message,
            status,
            this.stream,
          );
        // The stream does not exist, and the reader does not wait for it to be created.
        if (status === 404 && !follow) return this.#drop("unavailable", message);
        throw new ServerProblem(message);
      }
      this.#shared.connected();
      // Set once the server has responded: with a slow server the slice would end before the first
      // record.
      slice.set();
      let gotRecord = false;
      const isStored = response.headers.get("content-type") === ENTRIES;
      const parse = stored && isStored ? stored.frames(strange) : lines();
      for await (const piece of parsed(response.body, parse)) {
        silenceWatch.set();
        this.#shared.contact();
        for (const line of piece) if (this.#handle(line)) gotRecord = true;
        // The first record may take long. After it the slice runs on, so that a busy stream
        // yields too.
        if (!gotRecord) slice.set();
        if (this.ended) return;
        if (this.records.length >= this.#shared.buffer) {
          silenceWatch.stop();
          slice.stop();
          await new Promise<void>((resolve) => {
            this.#resume = resolve;
          });
          silenceWatch.set();
          slice.set();
        }
      }
      if (!this.ended) throw new ServerProblem("the response ended");
    } catch (error) {
      if (request.signal.reason === SLICE_OVER) return;
      throw request.signal.aborted && !signal.aborted ? request.signal.reason : error;
    } finally {
      silenceWatch.stop();
      slice.stop();
      forget();
    }
  }

  #url(follow: boolean, silence: number): string {
    const query = new URLSearchParams({
      heartbeat_ms: String(Math.floor(silence / 2)),
      ...this.#next,
    });
    if (!follow) query.set("follow", "false");
    return `${this.#shared.server.records(this.stream)}?${query}`;
  }

  /** Handles a line. Returns `true` if it is a record. */
  #handle(line: Line): boolean {
    const { wake, fault, malformed } = this.#shared;
    this.#backoffMs = 0;
    switch (line.event) {
      case "record":
        this.#next = { after: line.after };
        this.records.push(line);
        wake();
        return true;
      case "malformed":
        this.#advance({ after: line.after });
        malformed();
        fault({
          stream: this.stream,
          kind: "malformed",
          detail: escaped(line.detail),
          dlsn: Dlsn.parse(line.dlsn),
          slots: line.slots,
        });
        return false;
      case "heartbeat":
        this.#advance({ from: line.next });
        return false;
      case "end":
        if (line.next !== undefined) this.#advance({ from: line.next });
        this.#end(line.reason, escaped(line.detail || line.reason));
        return false;
    }
  }

  /**
   * Moves to `next`: everything before it was read, and also delivered if no record is buffered.
   */
  #advance(next: ReadPosition): void {
    this.#next = next;
    if (this.records.length === 0) this.position = next;
  }

  /** Handles the reason with which the server ended the response. */
  #end(reason: string, detail: string): void {
    if (reason === "caught_up") {
      this.ended = true;
    } else if (reason === "deleted") {
      this.#drop(reason, "the stream was deleted");
    } else if (reason === "recreated") {
      throw new ReadError(RECREATED, detail, undefined, this.stream);
    } else {
      throw new ServerProblem(`the server ended the response: ${detail}`);
    }
  }

  /** Ends, because there is no such stream. */
  #drop(kind: "unavailable" | "deleted", detail: string): void {
    this.ended = true;
    this.missing = true;
    this.#shared.fault({ stream: this.stream, kind, detail });
  }

  /** Sets the backoff, and reports the error of a request: to the reader if retrying is useless. */
  async #onFailure(error: unknown): Promise<void> {
    const { server, signal, fault, fail, noContact } = this.#shared;
    if (signal.aborted) return;
    this.#backoffMs = Math.min(MAX_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, this.#backoffMs * 2));
    if (error instanceof ReadError) return fail(error);
    const { cause, kind } =
      error instanceof ServerProblem
        ? { cause: error, kind: "lost" }
        : await server.explain(error).catch((other: Error) => ({ cause: other, kind: "lost" }));
    if (kind === "forbidden")
      return fail(new ReadError("FORBIDDEN", messageOf(cause), undefined, this.stream, cause));
    fault({ stream: this.stream, kind: "unavailable", detail: messageOf(cause) });
    noContact(cause);
  }
}

let loading: Promise<typeof import("./frames.js") | undefined> | undefined;

/**
 * Loads the parser of records as they are stored, a file that a page which only writes does not
 * need. Returns `undefined` if it cannot be loaded, for instance because it does not lie beside the
 * others: records come as lines then, and the next request tries again.
 */
function loadFrames() {
  loading ??= import("./frames.js").catch(() => {
    loading = undefined;
    return undefined;
  });
  return loading;
}

/** What the server did, or did not do: needs no explanation. */
class ServerProblem extends Error {}

/** Reason of the abort of a request whose connection others wait for. */
const SLICE_OVER = new Error("the time slice is over");

/** Calls back `after` milliseconds after the last `set`. */
class Watchdog {
  readonly #after: number;
  readonly #call: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(after: number, call: () => void) {
    this.#after = after;
    this.#call = call;
  }

  set(): void {
    this.stop();
    this.#timer = setTimeout(this.#call, this.#after);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      forget();
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    const forget = onAbort(signal, done);
  });
}
