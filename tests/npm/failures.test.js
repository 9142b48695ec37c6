// What the writer says of records whose attempts fail: between it and the proxy are gateways, ports
// that are not the proxy's, and connections that end.
import assert from "node:assert/strict";
import { createServer as createHttpServer, request } from "node:http";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";

import { MultiStreamWriter } from "distributedlog";

import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";

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
});
