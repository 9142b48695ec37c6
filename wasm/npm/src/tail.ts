import type * as Public from "../types/index.js";
import { Dlsn } from "./dlsn.js";
import { messageOf, ReadError } from "./errors.js";
import { lines } from "./lines.js";
import { Queue } from "./queue.js";
import type { RecordLine } from "./record.js";
import { problemOf, type Server } from "./server.js";

/** The pauses before a stream that could not be read is tried again, in milliseconds: the first, doubled up to the longest. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;

/** How long a stream keeps its connection when others wait for one, in milliseconds. */
const TURN = 250;

export type Place = { readonly after: string } | { readonly from: string };

interface MalformedLine {
  event: "malformed";
  dlsn: string;
  slots: number;
  detail: string;
}

type Line =
  | RecordLine
  | MalformedLine
  | { event: "heartbeat"; next: string }
  | { event: "end"; reason: string; next?: string; detail?: string };

/** What the tails of a reader have in common. */
export interface Shared {
  readonly server: Server;
  readonly follow: boolean;
  readonly buffer: number;
  readonly silence: number;
  readonly connections: Turns;
  readonly signal: AbortSignal;
  /** Something is there for the reader to look at. */
  wake(): void;
  fault(fault: Public.StreamFault): void;
  fail(error: unknown): void;
  connected(): void;
  malformed(): void;
}

/** A connection for each, as far as they reach. */
export class Turns {
  #left: number;
  readonly #waiting = new Queue<() => void>();

  constructor(connections: number) {
    this.#left = connections;
  }

  get wanted(): boolean {
    return this.#waiting.length > 0;
  }

  async take(): Promise<void> {
    if (this.#left > 0) this.#left -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#left += 1;
    else next();
  }
}

/** One stream of a reader: reads ahead, and goes on where it was when the connection is lost. */
export class Tail {
  readonly stream: string;
  /** Behind what was delivered. */
  position: Place;
  /** What was read and not delivered. */
  readonly records = new Queue<RecordLine>();
  ended = false;
  /** Behind what was read. */
  #next: Place;
  readonly #shared: Shared;
  #pause = 0;
  #resume: () => void = () => {};

  constructor(stream: string, from: Place, shared: Shared) {
    this.stream = stream;
    this.position = from;
    this.#next = from;
    this.#shared = shared;
  }

  /** The next record that was read. */
  shift(): RecordLine | undefined {
    const record = this.records.shift();
    if (record !== undefined) this.position = { after: record.dlsn };
    if (this.records.length * 2 <= this.#shared.buffer) this.#resume();
    return record;
  }

  async run(): Promise<void> {
    const { connections, signal } = this.#shared;
    while (!this.ended && !signal.aborted) {
      await connections.take();
      try {
        if (!signal.aborted) await this.#read();
      } catch (error) {
        await this.#lost(error);
      } finally {
        connections.give();
      }
      if (this.#pause > 0 && !this.ended) await pause(this.#pause, signal);
    }
    this.ended = true;
    this.#shared.wake();
  }

  /** One response, to its end. */
  async #read(): Promise<void> {
    const { server, follow, silence, signal, connections } = this.#shared;
    const request = new AbortController();
    const abort = () => request.abort();
    signal.addEventListener("abort", abort, { once: true });
    // The server says something twice in that time.
    const watch = new Alarm(silence, () =>
      request.abort(new Error(`${server.base} was silent for ${silence} ms`)),
    );
    const turn = new Alarm(TURN, () => (connections.wanted ? request.abort(OVER) : turn.set()));
    watch.set();
    try {
      const response = await server.request(this.#url(follow, silence), {
        method: "GET",
        signal: request.signal,
        cache: "no-store",
      });
      if (!response.ok || response.body === null) {
        const problem = await problemOf(response);
        if ([401, 403, 405, 415].includes(problem.status))
          throw new ReadError("REFUSED", problem.message, problem.status);
        if (problem.status === 404 && !follow) {
          // There is nothing to read, and nothing is waited for.
          this.ended = true;
          this.#shared.fault({ stream: this.stream, kind: "unavailable", detail: problem.message });
          return;
        }
        throw new Error(problem.message);
      }
      this.#shared.connected();
      // Not before the server has answered: one that is far away would never come to give a record.
      turn.set();
      let took = false;
      for await (const piece of lines(response.body)) {
        watch.set();
        for (const line of piece)
          if (line !== "" && this.#take(JSON.parse(line) as Line)) took = true;
        // Its first record may be long in coming; from then on a busy stream lets the others have the connection, too.
        if (!took) turn.set();
        if (this.ended) return;
        if (this.records.length >= this.#shared.buffer) {
          watch.stop();
          turn.stop();
          await new Promise<void>((resolve) => {
            this.#resume = resolve;
            signal.addEventListener("abort", () => resolve(), { once: true });
          });
          watch.set();
          turn.set();
        }
      }
      if (!this.ended) throw new Error("the response ended");
    } catch (error) {
      if (request.signal.reason === OVER) return;
      throw request.signal.aborted && !signal.aborted ? request.signal.reason : error;
    } finally {
      watch.stop();
      turn.stop();
      signal.removeEventListener("abort", abort);
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

  /** Whether it is a record. */
  #take(line: Line): boolean {
    const { wake, fault, malformed } = this.#shared;
    this.#pause = 0;
    switch (line.event) {
      case "record":
        this.#next = { after: line.dlsn };
        this.records.push(line);
        wake();
        return true;
      case "malformed": {
        const first = Dlsn.parse(line.dlsn);
        const last = new Dlsn(
          first.logSegmentSequenceNo,
          first.entryId,
          first.slotId + BigInt(line.slots - 1),
        );
        this.#went({ after: last.toString() });
        malformed();
        fault({
          stream: this.stream,
          kind: "malformed",
          detail: line.detail,
          dlsn: first,
          slots: line.slots,
        });
        return false;
      }
      case "heartbeat":
        this.#went({ from: line.next });
        return false;
      case "end":
        if (line.next !== undefined) this.#went({ from: line.next });
        this.#end(line.reason, line.detail);
        return false;
    }
  }

  /** Everything before it was read; delivered too, if nothing waits. */
  #went(next: Place): void {
    this.#next = next;
    if (this.records.length === 0) this.position = next;
  }

  #end(reason: string, detail?: string): void {
    if (reason === "caught_up") {
      this.ended = true;
    } else if (reason === "deleted") {
      this.ended = true;
      this.#shared.fault({
        stream: this.stream,
        kind: "deleted",
        detail: "the stream was deleted",
      });
    } else {
      throw new Error(`the server ended the response: ${detail ?? reason}`);
    }
  }

  async #lost(error: unknown): Promise<void> {
    const { server, signal, fault, fail } = this.#shared;
    if (signal.aborted) return;
    this.#pause = Math.min(LONGEST_PAUSE, Math.max(FIRST_PAUSE, this.#pause * 2));
    if (error instanceof ReadError) return fail(error);
    const { cause, kind } = await server
      .explain(error)
      .catch((other: unknown) => ({ cause: other, kind: "lost" }));
    if (kind === "forbidden")
      return fail(new ReadError("FORBIDDEN", messageOf(cause), undefined, cause));
    fault({
      stream: this.stream,
      kind: "unavailable",
      detail: messageOf(error instanceof TypeError ? cause : error),
    });
  }
}

/** Why a request was given up: others wait for its connection. */
const OVER = new Error("its turn is over");

/** Calls back so long after it was set last. */
class Alarm {
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

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}
