import { checksum, type WriterHandle } from "../dist/glue/distributedlog.js";
import type { AttemptReport, FetchResponse } from "../types/index.js";
import { problemOf, type Server } from "./server.js";
import { now, queueMicrotask } from "./timers.js";

/** Limit of browsers for the bodies of all `keepalive` requests of a page together, in bytes. */
const KEEPALIVE_BYTES = 64 * 1024;

/** Body bytes of this page's `keepalive` requests in flight, of all writers. */
let keepaliveBytes = 0;

interface Request {
  /** What `onAttempt` is called with, before the end of the attempt is known. */
  readonly report: Pick<AttemptReport, "stream" | "attempt" | "bytes">;
  readonly began: number;
  readonly controller: AbortController;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
  /** True once it was sent again: what becomes of the second request, no response says. */
  repeated?: boolean;
}

/** The failure of an attempt, as the errors of records quote it. */
interface AttemptFailure {
  /** Lower 32 bits of the attempt's number. */
  readonly attempt: number;
  readonly cause: Error;
  /** DistributedLog status code; `undefined` if it has none. */
  readonly status: number | undefined;
}

/** Number of the lower bits of an attempt's number that identify the slot of its set. */
const SET_BITS = 16;

/** The requests of one writer that are in flight. */
export class Requests {
  readonly #server: Server;
  readonly #streams: readonly string[];
  readonly #urls: string[];
  readonly #handle: () => WriterHandle;
  readonly #inFlight = new Map<number, Request>();
  readonly #onAttempt: ((report: AttemptReport) => void) | undefined;
  /** The failure of the last request, if it had no response. */
  noResponse: Error | undefined;
  /** True while the page is being left. */
  #leaving = false;
  /** Last failure of each set, by the set's slot: as many as sets may be in flight, and one. */
  readonly #failures = new Map<number, AttemptFailure>();

  constructor(
    server: Server,
    streams: readonly string[],
    handle: () => WriterHandle,
    onAttempt: ((report: AttemptReport) => void) | undefined,
  ) {
    this.#onAttempt = onAttempt;
    this.#server = server;
    this.#streams = streams;
    this.#urls = streams.map((stream) => server.records(stream));
    this.#handle = handle;
  }

  /**
   * Sends a record set and reports the outcome to the handle. Never throws: see `wasm/src/host.rs`.
   */
  send(
    attempt: number,
    stream: number,
    body: Uint8Array<ArrayBuffer>,
    earlierAttempts: number,
    timeoutMs: number,
  ): void {
    const name = this.#streams[stream] ?? "";
    const headers: Record<string, string> = {
      "content-type": "application/vnd.distributedlog.record-set",
      "dlog-crc32": checksum(name, body)
        .toString(16)
        .padStart(8, "0"),
      "dlog-timeout-ms": String(Math.max(1, Math.ceil(timeoutMs))),
    };
    if (earlierAttempts > 0) headers["dlog-attempt"] = String(earlierAttempts);
    const request: Request = {
      report: { stream: name, attempt: earlierAttempts + 1, bytes: body.byteLength },
      began: now(),
      controller: new AbortController(),
      url: this.#urls[stream] ?? "",
      headers,
      body,
    };
    this.#inFlight.set(attempt, request);
    this.#post(request, this.#leaving)
      .then((response) => this.#onResponse(attempt, request, response))
      // No response, or the connection ended within it.
      .catch((error: unknown) => this.#onNoResponse(attempt, request, error));
  }

  abort(attempt: number): void {
    const request = this.#finish(attempt, "aborted");
    request?.controller.abort();
  }

  /** Ends an attempt. Returns its request, `undefined` if it has ended before. */
  #finish(
    attempt: number,
    outcome: AttemptReport["outcome"],
    error?: Error,
    status?: number,
  ): Request | undefined {
    const request = this.#inFlight.get(attempt);
    if (request === undefined) return undefined;
    this.#inFlight.delete(attempt);
    if (error !== undefined)
      this.#failures.set(slotOf(attempt), { attempt: attempt | 0, cause: error, status });
    const hook = this.#onAttempt;
    if (hook !== undefined) {
      const duration = now() - request.began;
      // In a task of its own: what it throws is its own, and leaves the writer's state whole.
      queueMicrotask(() => hook({ ...request.report, outcome, duration, status, error }));
    }
    return request;
  }

  /**
   * Returns cause and status of a failed attempt, given the lower 32 bits of its number: nothing
   * once a later attempt of the same slot has failed. Of a record without attempts the cause is that
   * the server did not respond to others.
   */
  failureOf(attempt: number | undefined, attempts: number): { cause?: unknown; status?: number | undefined } {
    if (attempts === 0) return { cause: this.noResponse };
    const failure = this.#failures.get(slotOf(attempt ?? 0));
    return failure !== undefined && failure.attempt === attempt ? failure : {};
  }

  /**
   * Switches to `keepalive` requests, which outlive the page, and sends again in that way what is
   * in flight. The repetition goes to the same stream, where the proxy recognises the duplicate by
   * its identity.
   *
   * Called when the page is being left. Not always on, because Chromium does not cancel a
   * `keepalive` request that is aborted: a stalled stream would take one connection after the
   * other.
   */
  leave(): void {
    this.#leaving = true;
    for (const request of this.#inFlight.values()) {
      request.repeated = true;
      this.#post(request, true).catch(() => {});
    }
  }

  /** Switches back: the page is shown again. */
  stay(): void {
    this.#leaving = false;
  }

  async #post(
    { controller, url, headers, body }: Request,
    leaving: boolean,
  ): Promise<FetchResponse> {
    const size = body.byteLength;
    const keepalive = leaving && keepaliveBytes + size <= KEEPALIVE_BYTES;
    if (keepalive) keepaliveBytes += size;
    try {
      const init = { method: "POST", headers, body, signal: controller.signal } as const;
      return await this.#server.request(url, keepalive ? { ...init, keepalive } : init);
    } finally {
      if (keepalive) keepaliveBytes -= size;
    }
  }

  async #onResponse(attempt: number, request: Request, response: FetchResponse): Promise<void> {
    this.noResponse = undefined;
    if (!response.ok) {
      const { message, code, status, known, retryAfter } = await problemOf(response);
      if (!this.#finish(attempt, "failed", new Error(message), code || undefined)) return;
      const state = request.repeated ? "unknown" : known;
      this.#handle().refused(attempt, status, code, state, retryAfter);
      return;
    }
    const position = positionOf(await response.text());
    if (position === undefined) {
      const message = `${this.#server.base} sent ${response.status} without a position: is it a write proxy?`;
      if (this.#finish(attempt, "failed", new Error(message)))
        this.#handle().unanswered(attempt, "malformed");
    } else if (this.#finish(attempt, "written")) {
      this.#handle().succeeded(attempt, ...position);
    }
  }

  async #onNoResponse(attempt: number, request: Request, error: unknown): Promise<void> {
    if (!this.#inFlight.has(attempt)) return;
    const { cause, kind } = await this.#server
      .explain(error)
      .catch((other: Error) => ({ cause: other, kind: "lost" }));
    if (!this.#finish(attempt, "failed", cause)) return;
    this.noResponse = cause;
    this.#handle().unanswered(attempt, request.repeated ? "lost" : kind);
  }
}

/** Returns the slot of the set of an attempt. */
const slotOf = (attempt: number): number => attempt & ((1 << SET_BITS) - 1);

/**
 * Returns log segment, entry and slot of the response to an append, or `undefined` if it has no
 * position.
 */
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
