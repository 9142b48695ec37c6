import type { ConnectionOptions, Fetch, FetchInit, FetchResponse } from "../types/index.js";
import { SettingsError } from "./errors.js";
import { CorsProblem } from "./failures.js";
import { causeOf, escaped, messageOf } from "./text.js";

/** An error response: problem details of RFC 9457, as far as the body has them. */
export interface Problem {
  status: number;
  /** DistributedLog status code; 0 if the body has none. */
  code: number;
  /** State of the records; empty if the body has none, which is then no proxy's. */
  known: string;
  /** Pause that the server asks for, in milliseconds; negative if it asks for none. */
  retryAfter: number;
  /** Name of the problem, if the body has one. */
  name: unknown;
  message: string;
}

/**
 * Codes of errors after which nothing was sent: the name has no address, no connection was made, or
 * the server's certificate is refused. Of Node and Bun.
 */
const NOT_SENT_CODE =
  /^(E(CONNREFUSED|NOTFOUND|AI_AGAIN)|UND_ERR_CONNECT_TIMEOUT|ConnectionRefused|(UNABLE_TO|CERT|DEPTH_ZERO|SELF_SIGNED|ERR_TLS_CERT)_.*)$/;

/** The same in messages: Deno's HTTP client, Node's TLS, and `fetch` that blocks a port. */
const NOT_SENT_MESSAGE = /client error \(Connect\)|before secure TLS connection|^bad port$/;

/** Code of Node's error when the port of an `https:` URL does not speak TLS. */
const NO_TLS = "ERR_SSL_WRONG_VERSION_NUMBER";

const IS_IT_HTTP = "; is this the HTTP port of a write proxy?";

/** A request that was not sent: its token could not be obtained. */
class NoToken extends Error {}

/** A proxy: its address, and the `fetch` that reaches it. */
export class Server {
  readonly base: string;
  readonly #fetch: Fetch;
  readonly #headers: Record<string, string>;
  readonly #token: ConnectionOptions["token"];
  /** True once a response has arrived: then the browser does not forbid the server (CORS). */
  #answered = false;
  #probe: Promise<CorsProblem | undefined> | undefined;

  constructor(options: ConnectionOptions) {
    const { url, fetch = globalThis.fetch as Fetch | undefined, headers = {}, token } = options;
    this.base = baseOf(url);
    if (typeof fetch !== "function")
      throw new SettingsError("fetch", fetch, "a function, and the runtime has no global fetch");
    // Called without a `this`: the browser's `fetch` accepts only its window.
    this.#fetch = (input, init) => fetch(input, init);
    this.#headers = { ...headers };
    this.#token = token;
    const all = typeof token === "string" ? withToken(this.#headers, token) : this.#headers;
    try {
      new Headers(all);
    } catch {
      // Not the values, which may be secrets.
      throw new SettingsError("headers", Object.keys(all).join(), "valid in HTTP");
    }
  }

  /** Returns the URL of a stream's records. */
  records(stream: string): string {
    return `${this.base}/v1/streams/${encodeURIComponent(stream)}/records`;
  }

  async request(url: string, init: FetchInit): Promise<FetchResponse> {
    let token = this.#token;
    if (typeof token === "function") {
      try {
        token = await token();
      } catch (error) {
        throw new NoToken(`no token: ${messageOf(error)}`, { cause: error });
      }
    }
    const headers = { ...this.#headers, ...init.headers };
    const response = await this.#fetch(url, {
      ...init,
      headers: token === undefined ? headers : withToken(headers, token),
    });
    this.#answered = true;
    return response;
  }

  /**
   * Classifies the error of a request that had no response. `cause` is an error for users; `kind`
   * is `unreachable` only if nothing was sent. Browsers say the same of every such error: there it
   * is `lost`.
   */
  async explain(
    error: unknown,
  ): Promise<{ cause: Error; kind: "unreachable" | "forbidden" | "lost" }> {
    const reason = error instanceof NoToken ? error : (causeOf(error) ?? error);
    const detail = messageOf(reason);
    if (this.#wasNotSent(error) || this.#wasNotSent(reason)) {
      return {
        cause: new Error(`${this.base} cannot be reached: ${detail}`, { cause: error }),
        kind: "unreachable",
      };
    }
    const problem = await this.#corsProblem();
    if (problem !== undefined) return { cause: problem, kind: "forbidden" };
    const hint = this.#answered ? "" : IS_IT_HTTP;
    return {
      cause: new Error(`the connection to ${this.base} was lost: ${detail}${hint}`, {
        cause: error,
      }),
      kind: "lost",
    };
  }

  /**
   * Returns `true` if the error proves that nothing of the request was sent. System calls matter
   * more than codes: EHOSTUNREACH and ETIMEDOUT also end connections that were made.
   */
  #wasNotSent(error: unknown): boolean {
    const { code, syscall, message, errors } = (error ?? {}) as Record<string, unknown>;
    // Of a name with several addresses.
    if (Array.isArray(errors) && errors.length > 0)
      return errors.every((each) => this.#wasNotSent(each));
    return (
      error instanceof NoToken ||
      syscall === "connect" ||
      NOT_SENT_CODE.test(`${code}`) ||
      NOT_SENT_MESSAGE.test(`${message}`) ||
      // Until the first response: later it may be a damaged connection, on which requests were sent.
      (code === NO_TLS && !this.#answered)
    );
  }

  /**
   * Returns the problem if the browser forbids this page to use the server. Browsers hide why a
   * request to another origin failed, so two probes find it out.
   */
  #corsProblem(): Promise<CorsProblem | undefined> {
    const page = globalThis.location?.origin;
    if (this.#answered || page === undefined || page === new URL(this.base).origin)
      return Promise.resolve(undefined);
    this.#probe ??= this.#probeCors(page).finally(() => {
      this.#probe = undefined;
    });
    return this.#probe;
  }

  async #probeCors(page: string): Promise<CorsProblem | undefined> {
    const health = `${this.base}/healthz`;
    try {
      // Without CORS the response is opaque, but it arrives if the server is up.
      await this.#fetch(health, { method: "GET", mode: "no-cors", cache: "no-store" });
    } catch {
      return undefined;
    }
    try {
      // With CORS it fails if the browser forbids it. Without this second probe, a server that has
      // just come back would count as forbidden, and its records as not written.
      await this.#fetch(health, { method: "GET", mode: "cors", cache: "no-store" });
      return undefined;
    } catch {
      return new CorsProblem(
        `${this.base} responds, but does not allow pages of ${page} (CORS): ` +
          `start the proxy with --cors-origin ${page}`,
      );
    }
  }
}

/**
 * Returns the problem that an error response describes. Reads the body, which frees the connection;
 * one that is cut short counts as empty.
 */
export async function problemOf(response: FetchResponse): Promise<Problem> {
  const text = await response.text().catch(() => "");
  let body: { code?: unknown; known?: unknown; name?: unknown; detail?: unknown } = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) body = parsed;
  } catch {
    // Not from a proxy: for instance a gateway's error page.
  }
  const { code, known, name, detail } = body;
  const parts = [response.status, name, detail].filter(
    (part) => typeof part === "string" || typeof part === "number",
  );
  return {
    status: response.status,
    code: typeof code === "number" ? code : 0,
    known: typeof known === "string" ? known : "",
    retryAfter: retryAfter(response.headers.get("retry-after")),
    name,
    message:
      `the server answered ${escaped(parts.join(" "))}` +
      // Every problem of a proxy has a name. Gateways in front of it have statuses of their own.
      (name === undefined && /40[045]|501/.test(`${response.status}`) ? IS_IT_HTTP : ""),
  };
}

/**
 * Returns the milliseconds of a `retry-after` in seconds or as a date; negative if it is neither.
 */
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
  const { origin, pathname, username, password, search, hash } = parsed;
  const base = origin + pathname.replace(/\/+$/, "");
  // They would be dropped: `fetch` refuses credentials in a URL, and paths are appended to it. The
  // message has no secrets.
  if (username !== "" || password !== "" || search !== "" || hash !== "")
    throw new SettingsError(
      "url",
      `${base} with credentials, a query or a fragment`,
      "an address: use the option `token`, or an `authorization` in `headers`",
    );
  return base;
}

function withToken(headers: Record<string, string>, token: string): Record<string, string> {
  return { ...headers, authorization: `Bearer ${token}` };
}
