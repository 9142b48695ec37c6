// Requests of the page other than writes and reads, which the package sends.

/** The proxy does not answer. */
export class Offline extends Error {}

/** A response that is not a success. */
export class Problem extends Error {
  constructor(status, body) {
    super(sentence(body?.detail ?? `the proxy responded with status ${status}`));
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
   * Sends one request after the other: writers and reader leave one connection.
   * @returns {Promise<any>} the response's JSON, or `undefined` if it has none
   */
  ask(method, path) {
    const response = this.last.then(() => this.#ask(method, path));
    this.last = response.catch(() => {});
    return response;
  }

  async #ask(method, path) {
    // No header can have other characters, so no token has them.
    if (this.token && !/^[\x21-\x7e]+$/.test(this.token))
      throw new Problem(401, { detail: "the token is wrong: a token consists of printable ASCII characters without blanks" });
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

  /** Succeeds if the proxy answers. */
  alive() {
    return this.ask("GET", "/healthz");
  }

  /** Returns the stalled streams, or `undefined` if this proxy does not allow injected faults. */
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

/** Makes a sentence of a problem's detail. */
function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}
