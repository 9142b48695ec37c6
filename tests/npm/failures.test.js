// What the writer says of records whose attempts fail: between it and the proxy are gateways, ports
// that are not the proxy's, and connections that end.
import assert from "node:assert/strict";
import { createServer as createHttpServer, request } from "node:http";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";

import { MultiStreamWriter } from "distributedlog";

import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";
import { until } from "./wait.js";

describe("failing writes", () => {
  let proxy;
  before(async () => {
    proxy = await Proxy.start();
  });
  after(() => proxy.stop());

  /** Lets a server listen until the test has ended. Returns its port. */
  async function listen(t, server) {
    const sockets = new Set();
    server.on("connection", (socket) => sockets.add(socket.on("error", () => {})));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return server.address().port;
  }

  /** Starts a gateway that passes requests on, loses the proxy's response, and sends its own. */
  const gateway = (t, respond) =>
    listen(
      t,
      createHttpServer((asked, response) => {
        const { method, headers, url: path } = asked;
        const passed = request(proxy.url + path, { method, headers }, (lost) => {
          lost.resume().on("end", () => respond(response));
        });
        asked.pipe(passed);
      }),
    );

  const errorOf = async (t, options) => {
    const writer = new MultiStreamWriter({
      ...NO_HISTORY,
      requestTimeout: 30_000,
      rounds: { limit: 1 },
      ...options,
    });
    t.after(() => writer.close());
    return writer.write("a record").then(assert.fail, (error) => error);
  };

  const page = "<!doctype html><title>503 Service Temporarily Unavailable</title>";
  const problem = { status: 503, name: "SERVICE_UNAVAILABLE", code: 503 };
  for (const [kind, status, type, body] of [
    ["text", 429, "text/plain", "rate limited"],
    ["text", 502, "text/plain", "upstream connect error or disconnect/reset before headers"],
    ["text", 503, "text/plain", "upstream connect error or disconnect/reset before headers"],
    ["text", 504, "text/plain", "upstream request timeout"],
    ["a page", 503, "text/html", page],
    ["a page", 404, "text/html", page],
    ["a page", 413, "text/html", page],
    ["JSON", 503, "application/json", JSON.stringify({ message: "no upstream", code: 503 })],
    ["a problem without known", 503, "application/problem+json", JSON.stringify(problem)],
  ]) {
    test(`a gateway's ${status} with ${kind} leaves a stored record unknown`, async (t) => {
      const port = await gateway(t, (response) => {
        response.writeHead(status, { "content-type": type });
        response.end(body);
      });
      const streams = [`gateway-${status}-${kind.replaceAll(" ", "-")}`];
      const error = await errorOf(t, { url: `http://127.0.0.1:${port}`, streams });
      assert.equal(error.known, "unknown", error.message);
      assert.match(error.message, new RegExp(`the server answered ${status}`));
      assert.deepEqual([...(await proxy.stored(streams[0])).values()], ["a record"]);
    });
  }

  for (const status of [200, 503]) {
    test(`a ${status} that is cut short leaves a stored record unknown`, async (t) => {
      const whole = JSON.stringify({ ...problem, known: "not_written" });
      const port = await gateway(t, (response) => {
        response.writeHead(status, { "content-length": whole.length });
        response.write(whole.slice(0, -2), () => response.destroy());
      });
      const streams = [`cut-short-${status}`];
      const error = await errorOf(t, { url: `http://127.0.0.1:${port}`, streams });
      assert.equal(error.known, "unknown", error.message);
      assert.equal((await proxy.stored(streams[0])).size, 1);
    });
  }

  test("the proxy's own refusal says that nothing was written", async (t) => {
    await proxy.create("refused");
    await proxy.fail("refused", 503);
    const error = await errorOf(t, { url: proxy.url, streams: ["refused"] });
    assert.deepEqual([error.known, error.status], ["notWritten", 503]);
    await proxy.clear("refused");
  });

  test("a request that never left says that nothing was written", async (t) => {
    const closed = await listen(t, createServer()).then(async (port) => {
      const server = createServer();
      await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
      const free = server.address().port;
      await new Promise((resolve) => server.close(resolve));
      assert.notEqual(free, port);
      return free;
    });
    const plain = await listen(
      t,
      createHttpServer((_, response) => response.end()),
    );
    const hangsUp = await listen(
      t,
      createServer((socket) => socket.end()),
    );
    for (const url of [
      `http://127.0.0.1:${closed}`,
      `https://127.0.0.1:${closed}`,
      `http://localhost:${closed}`,
      "http://no-such-name.invalid",
      // X11's port, which fetch blocks.
      "http://127.0.0.1:6000",
      `https://127.0.0.1:${plain}`,
      `https://127.0.0.1:${hangsUp}`,
    ]) {
      const error = await errorOf(t, { url, streams: ["never"] });
      assert.equal(error.known, "notWritten", `${url}: ${error.message}`);
      assert.ok(error.message.includes(`${url} cannot be reached`), error.message);
    }
  });

  test("a connection that ends after the request leaves the record unknown", async (t) => {
    for (const end of [
      (socket) => socket.destroy(),
      (socket) => socket.resetAndDestroy(),
      (socket) => socket.end("this is no HTTP\r\n\r\n"),
      (socket) => socket.end("HTTP/1.1 503 Service Unavailable\r\ncontent-len"),
    ]) {
      const port = await listen(
        t,
        createServer((socket) => socket.once("data", () => end(socket))),
      );
      const error = await errorOf(t, { url: `http://127.0.0.1:${port}`, streams: ["lost"] });
      assert.equal(error.known, "unknown", `${end}: ${error.message}`);
    }
    // Errors of a connection that was made may have the code of one that was not.
    for (const code of ["EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "ECONNRESET"]) {
      const cause = Object.assign(new Error(`read ${code}`), { code, syscall: "read" });
      const error = await errorOf(t, {
        url: proxy.url,
        streams: ["lost"],
        fetch: () => Promise.reject(new TypeError("fetch failed", { cause })),
      });
      assert.equal(error.known, "unknown", error.message);
    }
  });

  test("an error has the cause and status of its own record's last attempt", async (t) => {
    const refusal = (status, code, known, detail) =>
      new Response(JSON.stringify({ status, name: "NAME", code, known, detail }), { status });
    // What becomes of a record, by its text: what its attempts get, and what its error then says.
    const fates = {
      refused: [() => refusal(413, 413, "rejected", "its own"), "REFUSED", "rejected", 413, "its own"],
      denied: [() => refusal(403, 403, "not_written", "mine"), "REFUSED", "notWritten", 403, "mine"],
      exhausted: [() => refusal(500, 506, "not_written", "lost"), "EXHAUSTED", "notWritten", 506, "lost"],
      gateway: [() => new Response("x", { status: 502 }), "EXHAUSTED", "unknown", undefined, "502"],
      malformed: [() => new Response("{}"), "EXHAUSTED", "unknown", undefined, "without a position"],
      broken: [
        () => Promise.reject(new TypeError("fetch failed", { cause: new Error("broken pipe") })),
        "EXHAUSTED",
        "unknown",
        undefined,
        "was lost: broken pipe",
      ],
      absent: [
        () => Promise.reject(Object.assign(new Error("no name"), { code: "ENOTFOUND" })),
        "EXHAUSTED",
        "notWritten",
        undefined,
        "cannot be reached: no name",
      ],
      // Its first attempt fails at once, its second has no response.
      half: [
        ({ "dlog-attempt": earlier }) =>
          earlier === undefined
            ? refusal(503, 503, "not_written", "only half")
            : new Promise(() => {}),
        "TIMED_OUT",
        "unknown",
        503,
        "only half",
      ],
      silent: [() => new Promise(() => {}), "TIMED_OUT", "unknown", undefined, undefined],
      aborted: [() => new Promise(() => {}), "ABORTED", "unknown", undefined, "enough"],
    };
    const writer = new MultiStreamWriter({
      ...NO_HISTORY,
      url: "http://proxy.invalid",
      streams: ["a", "b"],
      requestTimeout: 5_000,
      rounds: { limit: 1 },
      hedging: false,
      bufferSize: 0,
      connections: 1_000,
      // Each attempt ends in a task of its own, so that failures of different records alternate.
      fetch: async (_, { body, headers }) => {
        const text = new TextDecoder("latin1").decode(body);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
        return fates[Object.keys(fates).find((fate) => text.includes(fate))][0](headers);
      },
    });
    t.after(() => writer.close({ timeout: 0 }));
    const enough = new AbortController();
    const records = Array.from({ length: 20 }, () => Object.keys(fates)).flat();
    const failing = records.map(async (record) => {
      const { signal } = enough;
      const written = writer.write(record, record === "aborted" ? { signal } : {});
      const error = await written.then(assert.fail, (error) => error);
      const [, code, known, status, cause] = fates[record];
      assert.deepEqual(
        [record, error.code, error.known, error.status],
        [record, code, known, status],
        error.message,
      );
      if (cause === undefined) assert.equal(error.cause, undefined, `${record}: ${error}`);
      else assert.ok(error.cause.message.includes(cause), `${record}: ${error}`);
    });
    await until("all are accepted", () => writer.stats().records === records.length);
    enough.abort(new Error("enough"));
    await Promise.all(failing);
  });

  test("a server's text acts on no terminal and adds no line", async (t) => {
    const writer = new MultiStreamWriter({
      url: "http://proxy.invalid",
      streams: ["a"],
      rounds: { limit: 1 },
      fetch: async () => {
        const body = { status: 403, name: "X", code: 403, detail: "x\u001b[2J\nforged\u202e" };
        return new Response(JSON.stringify(body), { status: 403 });
      },
    });
    t.after(() => writer.close());
    const error = await writer.write("a record").then(assert.fail, (error) => error);
    const text = `${error.message} ${error.cause?.message}`;
    assert.ok(text.includes("x\\u{1b}[2J\\u{a}forged\\u{202e}"), text);
  });

  test("no stream gets a request before the time that its Retry-After names", async (t) => {
    const writes = async (retryAfter, requestTimeout, most, [status, code], policies) => {
      const allowedAt = new Map();
      const writer = new MultiStreamWriter({
        ...policies,
        url: "http://proxy.invalid",
        streams: ["a", "b"],
        requestTimeout,
        fetch: async (url) => {
          const now = performance.now();
          // Timers may fire up to a millisecond early.
          assert.ok(now + 2 >= (allowedAt.get(url) ?? 0), `${now} ${allowedAt.get(url)}`);
          allowedAt.set(url, now + 1_000 * retryAfter);
          const body = { status, name: "BUSY", code, known: "not_written" };
          const headers = { "retry-after": String(retryAfter) };
          return new Response(JSON.stringify(body), { status, headers });
        },
      });
      t.after(() => writer.close());
      const error = await writer.write("a record").then(assert.fail, (error) => error);
      assert.deepEqual([error.code, error.known], ["TIMED_OUT", "notWritten"], error.message);
      assert.ok(error.attempts >= 2 && error.attempts <= most, error.message);
      assert.match(error.message, new RegExp(`the server answered ${status} BUSY`));
    };
    const cases = [];
    for (const status of [
      [429, 517],
      [503, 503],
    ])
      for (const policies of [{}, NO_HISTORY])
        cases.push(writes(1, 2_500, 6, status, policies), writes(60, 300, 2, status, policies));
    await Promise.all(cases);
  });
});
