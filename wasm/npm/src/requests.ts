import { checksum, type WriterHandle } from "../dist/glue/distributedlog.js";
import type { FetchResponse } from "../types/index.js";
import { messageOf } from "./errors.js";
import { problemOf, type Server } from "./server.js";

/** What browsers let a page leave behind, in bytes of bodies, all requests of the page together. */
const KEEPALIVE_BYTES = 64 * 1024;

/** Of this page, whichever writer they are of. */
let keepaliveBytes = 0;

interface Request {
  readonly controller: AbortController;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** The requests of one writer that are under way. */
export class Requests {
  readonly #server: Server;
  readonly #streams: readonly string[];
  readonly #urls: string[];
  readonly #handle: () => WriterHandle;
  readonly #under = new Map<number, Request>();
  /** Whether the page is being left. */
  #leaving = false;
  /** What the last failed attempt met, for the errors of records. */
  lastProblem: unknown;

  constructor(server: Server, streams: readonly string[], handle: () => WriterHandle) {
    this.#server = server;
    this.#streams = streams;
    this.#urls = streams.map((stream) => server.records(stream));
    this.#handle = handle;
  }

  /** Never throws: see `wasm/src/host.rs`. */
  send(
    attempt: number,
    stream: number,
    body: Uint8Array<ArrayBuffer>,
    earlierAttempts: number,
    timeoutMs: number,
  ): void {
    const headers: Record<string, string> = {
      "content-type": "application/vnd.distributedlog.record-set",
      "dlog-crc32": checksum(this.#streams[stream] ?? "", body)
        .toString(16)
        .padStart(8, "0"),
      "dlog-timeout-ms": String(Math.max(1, Math.ceil(timeoutMs))),
    };
    if (earlierAttempts > 0) headers["dlog-attempt"] = String(earlierAttempts);
    const request = {
      controller: new AbortController(),
      url: this.#urls[stream] ?? "",
      headers,
      body,
    };
    this.#under.set(attempt, request);
    this.#post(request, this.#leaving)
      .then((response) => this.#answered(attempt, response))
      // No answer, or the connection ended within it.
      .catch((error: unknown) => this.#notAnswered(attempt, error));
  }

  abort(attempt: number): void {
    const request = this.#under.get(attempt);
    this.#under.delete(attempt);
    request?.controller.abort();
  }

  /**
   * The page is being left: what is sent from now on outlives it, as far as the browser lets it, and what is under way is sent once more in
   * that way, to the same streams, where the proxy knows the copy by its identity.
   *
   * Not so all the time, because Chromium does not give up such a request when it is aborted: a stream that stalls would take one connection
   * after the other.
   */
  leave(): void {
    this.#leaving = true;
    for (const request of this.#under.values()) this.#post(request, true).catch(() => {});
  }

  /** The page was shown again. */
  stay(): void {
    this.#leaving = false;
  }

  async #post(
    { controller, url, headers, body }: Request,
    outlive: boolean,
  ): Promise<FetchResponse> {
    const size = body.byteLength;
    const keepalive = outlive && keepaliveBytes + size <= KEEPALIVE_BYTES;
    if (keepalive) keepaliveBytes += size;
    try {
      const init = { method: "POST", headers, body, signal: controller.signal } as const;
      return await this.#server.request(url, keepalive ? { ...init, keepalive } : init);
    } finally {
      if (keepalive) keepaliveBytes -= size;
    }
  }

  async #answered(attempt: number, response: FetchResponse): Promise<void> {
    if (!response.ok) {
      const problem = await problemOf(response);
      if (!this.#under.delete(attempt)) return;
      this.lastProblem = new Error(problem.message);
      this.#handle().refused(
        attempt,
        problem.status,
        problem.code,
        problem.known,
        problem.retryAfter,
      );
      return;
    }
    const position = positionOf(await response.text());
    if (!this.#under.delete(attempt)) return;
    if (position === undefined) {
      this.lastProblem = new Error(
        `${this.#server.base} answered ${response.status} without a position: is it a write proxy?`,
      );
      this.#handle().unanswered(attempt, "malformed");
      return;
    }
    this.#handle().succeeded(attempt, ...position);
  }

  async #notAnswered(attempt: number, error: unknown): Promise<void> {
    if (!this.#under.has(attempt)) return;
    const { cause, kind } = await this.#server
      .explain(error)
      .catch((other: unknown) => ({ cause: other, kind: "lost" }));
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
    if (segment === undefined || entry === undefined || slot === undefined || more.length > 0)
      return undefined;
    return [segment, entry, slot];
  } catch {
    return undefined;
  }
}
