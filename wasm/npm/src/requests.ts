import type { WriterHandle } from "../dist/glue/distributedlog.js";
import type { FetchResponse } from "../types/index.js";
import { messageOf } from "./errors.js";
import { problemOf, type Server } from "./server.js";

/** What browsers let a page leave behind, in bytes of bodies, all requests of the page together. */
const KEEPALIVE_BYTES = 64 * 1024;

/** Of this page, whichever writer they are of. */
let keepaliveBytes = 0;

/** The requests of one writer that are under way. */
export class Requests {
  readonly #server: Server;
  readonly #urls: string[];
  readonly #handle: () => WriterHandle;
  readonly #under = new Map<number, AbortController>();
  readonly #inPage = typeof document === "object";
  /** What the last failed attempt met, for the errors of records. */
  lastProblem: unknown;

  constructor(server: Server, streams: readonly string[], handle: () => WriterHandle) {
    this.#server = server;
    this.#urls = streams.map((stream) => server.records(stream));
    this.#handle = handle;
  }

  /** Never throws: see `wasm/src/host.rs`. */
  send(attempt: number, stream: number, recordSet: Uint8Array<ArrayBuffer>, earlierAttempts: number, timeoutMs: number): void {
    const controller = new AbortController();
    this.#under.set(attempt, controller);
    const size = recordSet.byteLength;
    // Those finish although the page is left.
    const keepalive = this.#inPage && keepaliveBytes + size <= KEEPALIVE_BYTES;
    if (keepalive) keepaliveBytes += size;
    const headers: Record<string, string> = {
      "content-type": "application/vnd.distributedlog.record-set",
      "dlog-timeout-ms": String(Math.max(1, Math.ceil(timeoutMs))),
    };
    if (earlierAttempts > 0) headers["dlog-attempt"] = String(earlierAttempts);
    const url = this.#urls[stream] ?? "";
    this.#server
      .request(url, { method: "POST", headers, body: recordSet, signal: controller.signal, ...(keepalive ? { keepalive } : {}) })
      .then(
        (response) => this.#answered(attempt, response),
        (error: unknown) => this.#notAnswered(attempt, error),
      )
      // The connection ended within the answer.
      .catch((error: unknown) => this.#notAnswered(attempt, error))
      .finally(() => {
        if (keepalive) keepaliveBytes -= size;
      });
  }

  abort(attempt: number): void {
    const controller = this.#under.get(attempt);
    this.#under.delete(attempt);
    controller?.abort();
  }

  async #answered(attempt: number, response: FetchResponse): Promise<void> {
    if (!response.ok) {
      const problem = await problemOf(response);
      if (!this.#under.delete(attempt)) return;
      this.lastProblem = new Error(problem.message);
      this.#handle().refused(attempt, problem.status, problem.code, problem.known, problem.retryAfter);
      return;
    }
    const position = positionOf(await response.text());
    if (!this.#under.delete(attempt)) return;
    if (position === undefined) {
      this.lastProblem = new Error(`${this.#server.base} answered ${response.status} without a position: is it a write proxy?`);
      this.#handle().unanswered(attempt, "malformed");
      return;
    }
    this.#handle().succeeded(attempt, ...position);
  }

  async #notAnswered(attempt: number, error: unknown): Promise<void> {
    if (!this.#under.has(attempt)) return;
    const { cause, kind } = await this.#server.explain(error).catch((other: unknown) => ({ cause: other, kind: "lost" }));
    if (!this.#under.delete(attempt)) return;
    this.lastProblem = cause instanceof Error ? cause : new Error(messageOf(cause));
    this.#handle().unanswered(attempt, kind);
  }
}

/** The position in the answer to an append: log segment, entry and slot. */
function positionOf(text: string): [bigint, bigint, bigint] | undefined {
  try {
    const { dlsn } = JSON.parse(text) as { dlsn: { text: string } };
    const [segment, entry, slot, ...more] = dlsn.text.split(",").map(BigInt);
    if (segment === undefined || entry === undefined || slot === undefined || more.length > 0) return undefined;
    return [segment, entry, slot];
  } catch {
    return undefined;
  }
}
