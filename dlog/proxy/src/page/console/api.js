// Requests to the proxy: one token, one kind of error, and one place that knows whether the proxy answers.

/** The proxy does not answer. */
export class Away extends Error {}

/** A response that is not a success. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? `the proxy responded with status ${status}`);
    this.status = status;
    this.problem = body?.name;
  }
}

const TIMEOUT_MS = 10_000;

/** Called with the token's problem, or with `true` and `false` as the proxy answers and stops to. */
export const events = { token: () => {}, answers: () => {} };

export const token = {
  get: () => sessionStorage.getItem("token") ?? "",
  set: (text) => (text === "" ? sessionStorage.removeItem("token") : sessionStorage.setItem("token", text)),
};

export const pathOf = (stream, rest = "") => `/v1/streams/${encodeURIComponent(stream)}${rest}`;

async function send(method, path, { body, headers = {}, signal, accept } = {}) {
  const text = token.get();
  // No header can have other characters, so no token has them.
  if (/[^\x21-\x7e]/.test(text)) throw refused(401, { detail: "the token is wrong: tokens consist of printable ASCII characters without blanks" });
  if (text !== "") headers.authorization = `Bearer ${text}`;
  if (accept) headers.accept = accept;
  let response;
  try {
    response = await fetch(path, { method, body, headers, signal, cache: "no-store", redirect: "error", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    events.answers(false);
    throw new Away("the proxy does not answer", { cause: error });
  }
  events.answers(true);
  if (response.ok) return response;
  const problem = /json/.test(response.headers.get("content-type") ?? "") ? await response.json().catch(() => undefined) : undefined;
  throw refused(response.status, problem);
}

function refused(status, body) {
  const problem = new Problem(status, body);
  if (status === 401) events.token(problem);
  return problem;
}

/** Asks for JSON; `undefined` where the response has none. */
export async function ask(method, path, options = {}) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const response = await send(method, path, { ...options, signal });
  return response.status === 204 ? undefined : response.json();
}

export const get = (path, signal) => ask("GET", path, { signal });

/** Reads a stream's lines of NDJSON as they come. */
export async function* lines(path, signal) {
  const response = await send("GET", path, { signal, accept: "application/x-ndjson" });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      // A part of the response at once: whoever shows it draws once for it.
      yield parts.map((line) => JSON.parse(line));
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away("the connection was lost", { cause: error });
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** What this client may do. An older proxy does not say: nothing but reading is offered. */
export async function access() {
  try {
    return await get("/v1/access");
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return { principal: null, how: "unknown", may: { read: true } };
    throw error;
  }
}
