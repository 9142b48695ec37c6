// What the page asks of the proxy besides writing and reading, which the package does.

/** The proxy does not answer at all. */
export class Offline extends Error {}

/** An answer that is no success. */
export class Problem extends Error {
  constructor(status, body) {
    super(sentence(body?.detail ?? `the proxy answered ${status}`));
    this.status = status;
  }
}

export class Proxy {
  /** @param {string | undefined} token */
  constructor(token) {
    this.token = token;
    this.last = Promise.resolve();
  }

  /**
   * One question after the other: one connection is what writers and reader leave.
   * @returns {Promise<any>} the answer's JSON, `undefined` where there is none
   */
  ask(method, path) {
    const answer = this.last.then(() => this.#ask(method, path));
    this.last = answer.catch(() => {});
    return answer;
  }

  async #ask(method, path) {
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    let response;
    try {
      response = await fetch(path, { method, headers, cache: "no-store", signal: AbortSignal.timeout(5000) });
    } catch (error) {
      throw new Offline("The proxy does not answer.", { cause: error });
    }
    const text = await response.text();
    const json = /json/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : undefined;
    if (!response.ok) throw new Problem(response.status, json);
    return json;
  }

  create(stream) {
    return this.ask("PUT", `/v1/streams/${encodeURIComponent(stream)}`);
  }

  stall(stream, on) {
    const path = `/faults/${encodeURIComponent(stream)}`;
    return on ? this.ask("PUT", `${path}/stall`) : this.ask("DELETE", path);
  }

  /** Whether it is there. */
  alive() {
    return this.ask("GET", "/healthz");
  }

  /** The streams that are stalled; `undefined` where this proxy stalls none. */
  async stalled() {
    try {
      const { faults } = await this.ask("GET", "/faults");
      return new Set(faults.map(({ stream }) => stream));
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return undefined;
      throw error;
    }
  }
}

/** What the proxy says in the middle of a line, as a sentence of its own. */
function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}
