import type { ConnectionOptions, Fetch, FetchInit, FetchResponse } from "../types/index.js";
import { CorsProblem, messageOf, SettingsError } from "./errors.js";

/** What a server's refusal says (RFC 9457), as far as it says something. */
export interface Problem {
  status: number;
  /** DistributedLog's code, 0 without one. */
  code: number;
  /** What it says of the records, empty if nothing. */
  known: string;
  /** Milliseconds, negative if it does not say. */
  retryAfter: number;
  message: string;
}

/** Codes of errors of Node and Bun that say that no connection was made. */
const NOT_CONNECTED = new Set([
  "ECONNREFUSED",
  "ConnectionRefused",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** Deno's errors have no code, and the words of its HTTP client instead. */
const DENO_NOT_CONNECTED = "client error (Connect)";

/** One proxy: its address, and the `fetch` that reaches it. */
export class Server {
  readonly base: string;
  readonly #fetch: Fetch;
  readonly #headers: Record<string, string>;
  /** Whether it ever answered: then it is not the browser that forbids it. */
  #answered = false;
  #probe: Promise<CorsProblem | undefined> | undefined;

  constructor(options: ConnectionOptions) {
    const { url, fetch = globalThis.fetch as Fetch | undefined, headers = {}, token } = options;
    this.base = baseOf(url);
    if (typeof fetch !== "function")
      throw new SettingsError("fetch", fetch, "a function, and there is no global one");
    // Called without a `this`: the browser's own wants none but its window.
    this.#fetch = (input, init) => fetch(input, init);
    this.#headers =
      token === undefined ? { ...headers } : { ...headers, authorization: `Bearer ${token}` };
  }

  /** Where the records of a stream are. */
  records(stream: string): string {
    return `${this.base}/v1/streams/${encodeURIComponent(stream)}/records`;
  }

  async request(url: string, init: FetchInit): Promise<FetchResponse> {
    const response = await this.#fetch(url, {
      ...init,
      headers: { ...this.#headers, ...init.headers },
    });
    this.#answered = true;
    return response;
  }

  /** Why a request had no answer: `cause` says it to people, `sent` whether anything can have left. */
  async explain(
    error: unknown,
  ): Promise<{ cause: unknown; kind: "unreachable" | "forbidden" | "lost" }> {
    const codes = [error, causeOf(error)].map(
      (each) => (each as { code?: unknown } | undefined)?.code,
    );
    const detail = messageOf(causeOf(error) ?? error);
    if (
      codes.some((code) => typeof code === "string" && NOT_CONNECTED.has(code)) ||
      detail.includes(DENO_NOT_CONNECTED)
    ) {
      return {
        cause: new Error(`${this.base} cannot be reached: ${detail}`, { cause: error }),
        kind: "unreachable",
      };
    }
    const problem = await this.#corsProblem();
    if (problem !== undefined) return { cause: problem, kind: "forbidden" };
    return {
      cause: new Error(`the connection to ${this.base} was lost: ${detail}`, { cause: error }),
      kind: "lost",
    };
  }

  /** Browsers tell a page nothing of why a request to another origin failed. Whether it is they who forbid it is found out by asking. */
  #corsProblem(): Promise<CorsProblem | undefined> {
    const page = globalThis.location?.origin;
    if (this.#answered || page === undefined || page === new URL(this.base).origin)
      return Promise.resolve(undefined);
    this.#probe ??= this.#ask(page).finally(() => {
      this.#probe = undefined;
    });
    return this.#probe;
  }

  async #ask(page: string): Promise<CorsProblem | undefined> {
    const health = `${this.base}/healthz`;
    try {
      // It answers, though this page may not look...
      await this.#fetch(health, { method: "GET", mode: "no-cors", cache: "no-store" });
    } catch {
      return undefined;
    }
    try {
      // ...and it does not answer when the page wants to look. Without this, a server that came back meanwhile would pass for one that
      // forbids, and its records for not written.
      await this.#fetch(health, { method: "GET", mode: "cors", cache: "no-store" });
      return undefined;
    } catch {
      return new CorsProblem(
        `${this.base} answers, but does not let pages of ${page} use it (CORS): start the proxy with --cors-origin ${page}`,
      );
    }
  }
}

/** What a response that is no success says. Reads its body, which frees the connection. */
export async function problemOf(response: FetchResponse): Promise<Problem> {
  const text = await response.text();
  let body: { code?: unknown; known?: unknown; name?: unknown; detail?: unknown } = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) body = parsed;
  } catch {
    // Of something else than a proxy: a gateway's page, say.
  }
  const { code, known, name, detail } = body;
  const what = [response.status, name, detail].filter(
    (part) => typeof part === "string" || typeof part === "number",
  );
  return {
    status: response.status,
    code: typeof code === "number" ? code : 0,
    known: typeof known === "string" ? known : "",
    retryAfter: retryAfter(response.headers.get("retry-after")),
    message: `the server answered ${what.join(" ")}`,
  };
}

/** Milliseconds of a `retry-after`: seconds or a date. Negative if it says neither. */
export function retryAfter(header: string | null): number {
  if (header === null || header.trim() === "") return -1;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return seconds < 0 ? -1 : seconds * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? -1 : Math.max(0, date - Date.now());
}

function baseOf(url: string | URL): string {
  let parsed: URL;
  try {
    parsed = new URL(url, globalThis.location?.href);
  } catch {
    throw new SettingsError("url", String(url), "an address such as http://127.0.0.1:8002");
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new SettingsError("url", parsed.href, "an address that begins with http:// or https://");
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, "");
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
