import type * as Public from "../types/admin.js";
import { publish } from "./brand.js";
import { Dlsn } from "./dlsn.js";
import { DistributedLogError, SettingsError } from "./errors.js";
import { problemOf, Server } from "./server.js";
import { clearTimeout, setTimeout } from "./timers.js";

/** Default of `timeout`, in milliseconds. */
const TIMEOUT_MS = 10_000;

export class AdminError extends DistributedLogError implements Public.AdminError {
  readonly status: number | undefined;
  readonly known: Public.AdminError["known"];

  constructor(code: string, message: string, known: string, status?: number, cause?: unknown) {
    super(code, message, cause);
    this.status = status;
    this.known = STATES[known] ?? "unknown";
  }
}

/** Names of the states, by those of the proxy. */
const STATES: Record<string, Public.AdminError["known"]> = {
  not_written: "notWritten",
  rejected: "rejected",
};

interface StreamBody {
  stream: string;
  created_ms: number;
  first: string | null;
  last: string | null;
  truncated_before: string | null;
  owner: { shard: number; address: string } | null;
  segments: {
    log_segment: number;
    completed: boolean;
    entries: number;
    records: number;
    payload_bytes: number;
    first_ms: number;
    last_ms: number;
  }[];
}

interface RetentionBody {
  age_ms: number | null;
  bytes: number | null;
  own: boolean;
}

type Method = "GET" | "PUT" | "DELETE";

export class StreamAdmin implements Public.StreamAdmin {
  readonly #server: Server;
  readonly #timeout: number;

  constructor(options: Public.StreamAdminOptions) {
    const { timeout = TIMEOUT_MS } = options;
    if (!(timeout > 0)) throw new SettingsError("timeout", timeout, "above 0");
    this.#server = new Server(options);
    this.#timeout = timeout;
  }

  async *list({ prefix, filter }: Public.ListOptions = {}): AsyncGenerator<string, void, void> {
    const query = new URLSearchParams();
    if (prefix !== undefined) query.set("prefix", prefix);
    if (filter !== undefined) query.set("filter", filter);
    // Bounded: each page begins behind the one before.
    for (;;) {
      const page = await this.#ask<{ streams: string[]; next?: string }>("GET", `/v1/streams?${query}`);
      yield* page.streams;
      if (page.next === undefined) return;
      query.set("after", page.next);
    }
  }

  async create(stream: string): Promise<boolean> {
    return (await this.#ask<{ created: boolean }>("PUT", pathOf(stream))).created;
  }

  async delete(stream: string): Promise<void> {
    await this.#ask("DELETE", pathOf(stream));
  }

  async truncate(stream: string, before: Dlsn | Date | string): Promise<void> {
    // Of a date by its method: a date of another realm has it too.
    const text = typeof before === "object" && "toISOString" in before ? before.toISOString() : `${before}`;
    await this.#ask("DELETE", `${pathOf(stream)}/records?${new URLSearchParams({ before: text })}`);
  }

  async info(stream: string): Promise<Public.StreamInfo> {
    const body = await this.#ask<StreamBody>("GET", pathOf(stream));
    return {
      stream: body.stream,
      createdMs: body.created_ms,
      first: position(body.first),
      last: position(body.last),
      truncatedBefore: position(body.truncated_before),
      owner: body.owner ?? undefined,
      segments: body.segments.map((segment) => ({
        logSegment: segment.log_segment,
        completed: segment.completed,
        entries: segment.entries,
        records: segment.records,
        payloadBytes: segment.payload_bytes,
        firstMs: segment.first_ms,
        lastMs: segment.last_ms,
      })),
    };
  }

  async retention(stream?: string): Promise<Public.AppliedRetention> {
    return applied(await this.#ask("GET", retentionOf(stream)));
  }

  async setRetention(stream: string | undefined, limits: Public.Retention): Promise<Public.AppliedRetention> {
    const body = JSON.stringify({ age_ms: limits.ageMs ?? null, bytes: limits.bytes ?? null });
    return applied(await this.#ask("PUT", retentionOf(stream), body));
  }

  async removeRetention(stream?: string): Promise<Public.AppliedRetention> {
    return applied(await this.#ask("DELETE", retentionOf(stream)));
  }

  /** Sends a request, and returns the body of its response, `undefined` if it has none. */
  async #ask<T>(method: Method, path: string, body?: string): Promise<T> {
    const ends = new AbortController();
    const timer = setTimeout(
      () => ends.abort(new Error(`no response within ${this.#timeout} ms`)),
      this.#timeout,
    );
    try {
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const init = { method, headers, signal: ends.signal, cache: "no-store" } as const;
      const url = this.#server.base + path;
      const response = await this.#server.request(url, body === undefined ? init : { ...init, body });
      if (!response.ok) {
        const { message, known, status, name } = await problemOf(response);
        throw new AdminError(typeof name === "string" ? name : "REFUSED", message, known, status);
      }
      const text = await response.text();
      return (text === "" ? undefined : JSON.parse(text)) as T;
    } catch (error) {
      if (error instanceof AdminError) throw error;
      if (ends.signal.aborted)
        throw new AdminError("TIMED_OUT", messageOfAbort(ends.signal), "", undefined, error);
      const { cause, kind } = await this.#server.explain(error);
      const nothingSent = kind === "lost" ? "" : "not_written";
      throw new AdminError(kind.toUpperCase(), cause.message, nothingSent, undefined, cause);
    } finally {
      clearTimeout(timer);
    }
  }
}

const pathOf = (stream: string) => `/v1/streams/${encodeURIComponent(stream)}`;

const retentionOf = (stream: string | undefined) =>
  stream === undefined ? "/v1/retention" : `${pathOf(stream)}/retention`;

const position = (text: string | null) => (text === null ? undefined : Dlsn.parse(text));

const applied = ({ age_ms, bytes, own }: RetentionBody): Public.AppliedRetention => ({
  ageMs: age_ms ?? undefined,
  bytes: bytes ?? undefined,
  own,
});

const messageOfAbort = (signal: AbortSignal) => (signal.reason as Error).message;

publish("DistributedLogError", DistributedLogError);
publish("SettingsError", SettingsError);
publish("Dlsn", Dlsn);
publish("AdminError", AdminError);
publish("StreamAdmin", StreamAdmin);
