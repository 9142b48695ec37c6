// The bounds of what a writer holds: by count, by bytes and by time.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { ForbiddenError, FullError, MultiStreamWriter, TimedOutError } from "distributedlog";

import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";
import { until } from "./wait.js";

const streams = ["wait-1", "wait-2", "wait-3"];
const failure = (promise) => promise.then(assert.fail, (error) => error);

describe("waiting for room", () => {
  let proxy;
  before(async () => {
    proxy = await Proxy.start();
    await proxy.create(...streams);
  });
  after(() => proxy.stop());

  const open = (t, options) => {
    const writer = new MultiStreamWriter({ ...NO_HISTORY, url: proxy.url, streams, ...options });
    t.after(() => writer.close({ timeout: 0 }));
    return writer;
  };
  /** A `fetch` that never responds. */
  const silent = () => new Promise(() => {});

  test("tryWrite has room for as many records as the settings say", async (t) => {
    const record = new Uint8Array(100);
    const accepted = async (options) => {
      const writer = open(t, { requestTimeout: 60_000, fetch: silent, ...options });
      await writer.ready();
      let count = 0;
      for (let written = writer.tryWrite(record); written; written = writer.tryWrite(record)) {
        written.catch(() => {});
        count += 1;
      }
      return count;
    };
    assert.equal(await accepted({}), 16_384);
    assert.equal(await accepted({ connections: 6 }), 16_384);
    assert.equal(await accepted({ pendingRecords: 10 }), 10);
    assert.equal(await accepted({ bufferedBytes: 20_000 }), 200);
  });

  test("a hundred thousand writes to a dead server fail within twice requestTimeout", async (t) => {
    const gone = await Proxy.start();
    await gone.stop();
    const writer = open(t, { url: gone.url, requestTimeout: 2_000 });
    // Loads the module, and learns that the server is down.
    assert.match((await failure(writer.write("first"))).message, /cannot be reached/);
    const before = process.memoryUsage().rss;
    const began = performance.now();
    const writes = Array.from({ length: 100_000 }, (_, index) => failure(writer.write(`${index}`)));
    const rss = process.memoryUsage().rss - before;
    const errors = await Promise.all(writes);
    const took = performance.now() - began;
    t.diagnostic(`${took.toFixed(0)} ms, ${(rss / 1e6).toFixed(0)} MB while they wait`);
    // On a busy machine; it took twenty minutes when each set of them had its own timeout.
    assert.ok(took < 60_000, `${took} ms`);
    for (const error of errors) {
      assert.ok(error instanceof TimedOutError, `${error}`);
      // Of those that were sent, an attempt may have been under way at the end.
      if (error.attempts > 0) continue;
      assert.equal(error.known, "notWritten");
      assert.match(error.message, /cannot be reached/);
    }
    assert.ok(errors.some(({ attempts }) => attempts === 0), "some have waited for room");
    assert.equal(writer.stats().waiting, 0);
  });

  test("writes wait longer than requestTimeout while others are written", async (t) => {
    // One at a time, 100 ms each.
    const slow = async (url, init) => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return fetch(url, init);
    };
    const one = { inFlightSets: 1, connections: 1, bufferSize: 0, hedging: false, fetch: slow };
    const patient = open(t, { ...one, requestTimeout: 3_000 });
    const all = await Promise.all(Array.from({ length: 40 }, (_, each) => patient.write(`${each}`)));
    assert.equal(all.length, 40);
    const { bounds, counts, sum } = patient.stats().writeLatency;
    assert.deepEqual([bounds.length, bounds[0], bounds.at(-1)], [24, 0.125, Infinity]);
    assert.equal(
      counts.reduce((total, count) => total + count),
      40,
    );
    assert.ok(sum >= 20 * 4_000, `${sum} ms`);
    const limited = open(t, { ...one, requestTimeout: 3_000, waitTimeout: 400 });
    const results = await Promise.allSettled(
      Array.from({ length: 40 }, (_, each) => limited.write(`${each}`)),
    );
    const failed = results.filter(({ status }) => status === "rejected");
    assert.ok(failed.length > 10 && failed.length < 40, `${failed.length} failed`);
    for (const { reason } of failed) {
      assert.deepEqual([reason.code, reason.known, reason.attempts], ["TIMED_OUT", "notWritten", 0]);
      assert.match(reason.message, /^waitTimeout elapsed while the write waited for room/);
    }
  });

  test("a write waits for the module to load, beyond requestTimeout", async () => {
    const program = `
      import { readFileSync } from "node:fs";
      import { init, MultiStreamWriter } from "distributedlog";
      const bytes = readFileSync("node_modules/distributedlog/dist/distributedlog_bg.wasm");
      const loading = new Promise((resolve) => setTimeout(resolve, 6_000, bytes));
      const options = { url: "${proxy.url}", streams: ["wait-1"], requestTimeout: 5_000 };
      init(loading);
      const writer = new MultiStreamWriter(options);
      const limited = new MultiStreamWriter({ ...options, waitTimeout: 100 });
      const failed = limited.write("x").catch(({ code, known }) => code + known);
      const { stream } = await writer.write("loaded late");
      console.log(stream, await failed);`;
    const file = join(import.meta.dirname, "slow.mjs");
    writeFileSync(file, program);
    const { stdout } = await promisify(execFile)(process.execPath, [file], {
      cwd: import.meta.dirname,
      timeout: 60_000,
    });
    assert.equal(stdout.trim(), "wait-1 TIMED_OUTnotWritten");
  });

  test("more writes than may wait fail at once", async (t) => {
    const writer = open(t, { requestTimeout: 60_000, fetch: silent, pendingRecords: 4, waitingRecords: 3 });
    await writer.ready();
    for (let index = 0; index < 7; index++) writer.write(`${index}`).catch(() => {});
    const error = await failure(writer.write("one too many"));
    assert.ok(error instanceof FullError);
    assert.deepEqual([error.code, error.known, error.attempts], ["FULL", "notWritten", 0]);
    assert.match(error.message, /waitingRecords is 3/);
    const large = open(t, { requestTimeout: 60_000, fetch: silent, bufferedBytes: 1_000, waitingBytes: 500 });
    await large.ready();
    for (let index = 0; index < 3; index++) large.write(new Uint8Array(500)).catch(() => {});
    assert.match((await failure(large.write(new Uint8Array(500)))).message, /waitingBytes is 500/);
  });

  test("ready resolves when there is room again, and when the writer is closed", async (t) => {
    let respond = silent;
    const writer = open(t, { pendingRecords: 8, requestTimeout: 30_000, fetch: (...all) => respond(...all) });
    await writer.ready();
    let asked = 0;
    let go = () => {};
    const gate = new Promise((resolve) => {
      go = resolve;
    });
    respond = async (...all) => {
      asked += 1;
      await gate;
      return fetch(...all);
    };
    const written = [];
    for (let each = writer.tryWrite("x"); each; each = writer.tryWrite("x")) written.push(each);
    assert.equal(written.length, 8);
    let ready = false;
    const waiting = writer.ready().then(() => (ready = true));
    await until("it is sent", () => asked > 0);
    assert.equal(ready, false);
    go();
    await waiting;
    assert.ok(writer.tryWrite("room again"));
    await Promise.all(written);
    await writer.flush();
    respond = silent;
    for (let each = writer.tryWrite("x"); each; each = writer.tryWrite("x")) each.catch(() => {});
    const closed = writer.ready();
    await writer.close({ timeout: 0 });
    await closed;
  });

  test("twenty writes that time out beside a refused one do not quote its refusal", async (t) => {
    const body = { status: 403, name: "REQUEST_DENIED", code: 403, known: "not_written", detail: "no" };
    const writer = open(t, {
      streams: ["one"],
      requestTimeout: 1_000,
      bufferSize: 0,
      hedging: false,
      connections: 100,
      fetch: (_, init) =>
        new TextDecoder("latin1").decode(init.body).includes("refused")
          ? Promise.resolve(new Response(JSON.stringify(body), { status: 403 }))
          : silent(),
    });
    await writer.ready();
    const silentOnes = Array.from({ length: 20 }, (_, each) => failure(writer.write(`${each}`)));
    const refused = await failure(writer.write("refused"));
    assert.deepEqual([refused.code, refused.status], ["REFUSED", 403]);
    assert.match(refused.cause.message, /403 REQUEST_DENIED no/);
    for (const error of await Promise.all(silentOnes)) {
      assert.ok(!(error instanceof ForbiddenError));
      assert.deepEqual(
        [error.code, error.known, error.status, error.cause],
        ["TIMED_OUT", "unknown", undefined, undefined],
      );
      assert.doesNotMatch(error.message, /403/);
    }
  });

  test("a token is asked for before each request, and nothing is sent without one", async (t) => {
    const seen = [];
    let tokens = 0;
    const writer = open(t, {
      token: async () => {
        if (tokens === 2) throw new Error("the login server is down");
        return `token-${(tokens += 1)}`;
      },
      rounds: { limit: 1 },
      hedging: false,
      fetch: (url, init) => {
        seen.push(init.headers.authorization);
        return fetch(url, init);
      },
      requestTimeout: 10_000,
    });
    await writer.write("a");
    await writer.write("b");
    const error = await failure(writer.write("c"));
    assert.deepEqual(seen, ["Bearer token-1", "Bearer token-2"]);
    assert.deepEqual([error.code, error.known], ["EXHAUSTED", "notWritten"]);
    assert.match(error.message, /no token: the login server is down/);
  });

  test("onAttempt is called with the end of each request", async (t) => {
    await proxy.fail("wait-2", 503);
    t.after(() => proxy.clear("wait-2"));
    const reports = [];
    const writer = open(t, {
      requestTimeout: 30_000,
      bufferSize: 0,
      onAttempt: (report) => reports.push(report),
    });
    for (let index = 0; index < 9; index++) await writer.write(`${index}`);
    await until("all are reported", () => reports.length === writer.stats().attempts);
    const written = reports.filter(({ outcome }) => outcome === "written");
    assert.ok(written.length >= 9, "each record is a set");
    for (const { stream, attempt, bytes, duration, error } of written) {
      assert.ok(streams.includes(stream) && attempt >= 1 && bytes > 16 && duration > 0);
      assert.equal(error, undefined);
    }
    const failed = reports.filter(({ outcome }) => outcome === "failed");
    assert.ok(failed.length > 0);
    for (const { stream, status, error } of failed) {
      assert.deepEqual([stream, status], ["wait-2", 503]);
      assert.match(error.message, /the server answered 503/);
    }
  });

  test("errors without a proxy's response ask for the HTTP port", async (t) => {
    // The port of thrift clients.
    const url = `http://127.0.0.1:${proxy.port}`;
    const error = await failure(open(t, { url, requestTimeout: 10_000, rounds: { limit: 1 } }).write("x"));
    assert.match(error.message, /is this the HTTP port of a write proxy\?/);
  });
});
