// The writer in Node, against the real proxy.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import {
  AbortedError,
  ClosedError,
  MultiStreamReader,
  MultiStreamWriter,
  RefusedError,
  SettingsError,
  TimedOutError,
  TooLargeError,
} from "distributedlog";

import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";
import { assertStalledTail } from "./tail.js";
import { until } from "./wait.js";

const streams = ["w-1", "w-2", "w-3", "w-4", "w-5"];
const FIRST_SPECULATIVE_MS = 50;

describe("writing", () => {
  let proxy;
  before(async () => {
    proxy = await Proxy.start();
    await proxy.create(...streams);
  });
  after(() => proxy.stop());

  const open = (options = {}) =>
    new MultiStreamWriter({
      ...NO_HISTORY,
      url: proxy.url,
      streams,
      requestTimeout: 10_000,
      ...options,
    });
  const stored = () =>
    Promise.all(streams.map(async (stream) => [stream, await proxy.stored(stream)])).then(
      (all) => new Map(all),
    );

  test("ten thousand records are stored at their positions", async (t) => {
    const writer = open();
    t.after(() => writer[Symbol.asyncDispose]());
    const records = Array.from({ length: 10_000 }, (_, index) => `record ${index} of ten thousand`);
    const written = await Promise.all(records.map((record) => writer.write(record)));
    const found = await stored();
    written.forEach(({ stream, dlsn }, index) =>
      assert.equal(found.get(stream).get(`${dlsn}`), records[index]),
    );
    assert.equal(
      new Set(written.map(({ stream }) => stream)).size,
      streams.length,
      "every stream has its share",
    );
    const stats = writer.stats();
    assert.equal(stats.recordsWritten, 10_000);
    assert.ok(stats.sets < 5_000, `records share sets: ${stats.sets}`);
  });

  test("bytes, views and strings are stored unchanged", async (t) => {
    const writer = open();
    t.after(() => writer[Symbol.asyncDispose]());
    const bytes = Uint8Array.of(0, 255, 128, 10);
    const kinds = [bytes, bytes.buffer, new DataView(bytes.buffer, 1, 2), "Grüße, 世界", ""];
    const written = await Promise.all(kinds.map((record) => writer.write(record)));
    const expected = [
      [0, 255, 128, 10],
      [0, 255, 128, 10],
      [255, 128],
      [...Buffer.from("Grüße, 世界")],
      [],
    ];
    for (const [index, { stream, dlsn }] of written.entries()) {
      const response = await fetch(
        `${proxy.url}/v1/streams/${stream}/records?from=${dlsn}&limit=1`,
      );
      const lines = (await response.text())
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      const { payload } = lines.find((line) => line.event === "record");
      assert.deepEqual([...Buffer.from(payload, "base64")], expected[index]);
    }
  });

  test("while one stream stalls, p99 is below healthy p99 plus speculative timeout", async (t) => {
    const writer = open({ firstSpeculativeTimeout: FIRST_SPECULATIVE_MS });
    const abortedBefore = await proxy.metric("dlog_proxy_http_aborted_total");
    await assertStalledTail(t, {
      firstSpeculativeMs: FIRST_SPECULATIVE_MS,
      stall: () => proxy.stall("w-3"),
      clear: () => proxy.clear("w-3"),
      write: async (round) => {
        const took = [];
        for (let index = 0; index < 200; index++) {
          const began = performance.now();
          await writer.write(`one at a time ${round} ${index}`);
          took.push(performance.now() - began);
        }
        return took;
      },
    });
    const { cancelled, hedgesWon } = writer.stats();
    assert.ok(hedgesWon >= 150, "the sets of the stalled stream were hedged");
    // Each attempt that lost against a hedge was aborted, and the server noticed.
    assert.ok(cancelled >= hedgesWon, `${cancelled} of ${hedgesWon} losers were cancelled`);
    const aborted = async () =>
      (await proxy.metric("dlog_proxy_http_aborted_total")) - abortedBefore;
    await until("the aborts have arrived", async () => (await aborted()) >= hedgesWon);
    t.diagnostic(
      `${cancelled} cancelled, ${hedgesWon} hedges won, ${await aborted()} aborts at the server`,
    );
  });

  test("without hedging a record stays with its stream, however long that takes", async (t) => {
    await Promise.all(streams.map((stream) => proxy.stall(stream)));
    // Without hedging the speculative timeouts are ignored, so that one may exceed requestTimeout.
    const writer = open({ hedging: false, maxSpeculativeTimeout: 2_000, requestTimeout: 1_000 });
    t.after(() => writer[Symbol.asyncDispose]());
    const error = await writer.write("no hedge").then(assert.fail, (error) => error);
    const { code, known, attempts } = error;
    assert.deepEqual([code, attempts, writer.stats().hedgesSent], ["TIMED_OUT", 1, 0]);
    // On a busy machine the proxy's answer, that its time is over, may come before the timer.
    assert.ok(["unknown", "notWritten"].includes(known), known);
    await Promise.all(streams.map((stream) => proxy.clear(stream)));
    await proxy.fail("w-2", 515);
    const written = await Promise.all(
      Array.from({ length: 10 }, (_, index) => writer.write(`after a failure ${index}`)),
    );
    assert.equal(written.length, 10);
    await proxy.clear("w-2");
  });

  test("a retry-after makes the writer avoid the stream for that time", async (t) => {
    for (const [code, policies] of [
      [517, {}],
      [503, {}],
      [518, { budget: true, health: true }],
    ]) {
      await proxy.fail("w-2", code);
      const writer = open({ bufferSize: 0, ...policies });
      const began = performance.now();
      for (let index = 0; index < 60; index++)
        assert.notEqual((await writer.write(`pushed back ${index}`)).stream, "w-2");
      const { failures, streams: each } = writer.stats();
      assert.ok(
        failures >= 1 && each["w-2"].failed === failures,
        `only that stream failed, of ${failures} failures`,
      );
      // It has a turn in every five sets, and `retry-after` says a second.
      const turns = 2 + (performance.now() - began) / 1000;
      assert.ok(failures <= turns, `${failures} attempts at a stream that asked to be left alone`);
      await writer.close();
    }
    await proxy.clear("w-2");
  });

  test("when every stream refuses, the error has the state and the reason", async (t) => {
    await Promise.all(streams.map((stream) => proxy.fail(stream, 403)));
    const writer = open();
    t.after(() => writer[Symbol.asyncDispose]());
    const error = await writer.write("no").then(assert.fail, (error) => error);
    assert.ok(error instanceof RefusedError);
    assert.deepEqual(
      [error.code, error.known, error.attempts, error.status],
      ["REFUSED", "notWritten", 5, 403],
    );
    assert.match(error.message, /403 REQUEST_DENIED/);
    await Promise.all(streams.map((stream) => proxy.fail(stream, 515)));
    const impatient = open({ requestTimeout: 300 });
    const late = await impatient.write("no").then(assert.fail, (error) => error);
    assert.ok(late instanceof TimedOutError, `${late}`);
    assert.equal(late.known, "unknown");
    await Promise.all(streams.map((stream) => proxy.clear(stream)));
  });

  test("a killed server keeps acknowledged records, and writing resumes", async (t) => {
    const writer = open({ requestTimeout: 60_000, streams: ["k-1", "k-2", "k-3"] });
    t.after(() => writer[Symbol.asyncDispose]());
    const acknowledged = [];
    let stop = false;
    const writing = Array.from({ length: 8 }, async (_, task) => {
      for (let index = 0; !stop; index++) {
        const record = `${task}/${index}`;
        const { stream, dlsn } = await writer.write(record);
        acknowledged.push({ stream, dlsn, record });
      }
    });
    for (let round = 0; round < 3; round++) {
      const before = acknowledged.length;
      await until("some are acknowledged", () => acknowledged.length > before + 200);
      await proxy.kill();
      await proxy.restart();
    }
    const before = acknowledged.length;
    await until("writing goes on", () => acknowledged.length > before + 200);
    stop = true;
    await Promise.all(writing);
    const found = new Map(
      await Promise.all(
        ["k-1", "k-2", "k-3"].map(async (stream) => [stream, await proxy.stored(stream)]),
      ),
    );
    for (const { stream, dlsn, record } of acknowledged)
      assert.equal(found.get(stream).get(`${dlsn}`), record);
  });

  test("a record that is too large is rejected without a request", async (t) => {
    const writer = open();
    t.after(() => writer[Symbol.asyncDispose]());
    const error = await writer.write(new Uint8Array(1_040_384)).then(assert.fail, (error) => error);
    assert.ok(error instanceof TooLargeError);
    assert.deepEqual([error.known, error.attempts], ["rejected", 0]);
    const largest = new Uint8Array(1_040_384 - 16 - 4 - 40).fill(120);
    assert.equal((await writer.write(largest)).attempts >= 1, true);
  });

  test("a signal aborts one write and no other of the same set", async (t) => {
    await Promise.all(streams.map((stream) => proxy.stall(stream)));
    const writer = open();
    t.after(() => writer[Symbol.asyncDispose]());
    const controller = new AbortController();
    const neighbour = writer.write("neighbour");
    const given = writer.write("given up", { signal: controller.signal });
    await until("it was accepted", () => writer.stats().records === 2);
    controller.abort(new Error("enough"));
    const error = await given.then(assert.fail, (error) => error);
    assert.ok(error instanceof AbortedError);
    assert.deepEqual(
      [error.code, error.known, error.cause.message],
      ["ABORTED", "unknown", "enough"],
    );
    await Promise.all(streams.map((stream) => proxy.clear(stream)));
    assert.ok((await neighbour).stream);
    const before = await writer
      .write("x", { signal: AbortSignal.abort() })
      .then(assert.fail, (error) => error);
    assert.equal(before.known, "notWritten");
  });

  test("without room write waits, tryWrite returns undefined, and an abort removes", async (t) => {
    await Promise.all(streams.map((stream) => proxy.stall(stream)));
    const writer = open({ pendingRecords: 4 });
    t.after(() => writer[Symbol.asyncDispose]());
    const taken = Array.from({ length: 4 }, (_, index) => writer.write(`taken ${index}`));
    await until("they were accepted", () => writer.stats().records === 4);
    assert.equal(writer.tryWrite("no room"), undefined);
    const controller = new AbortController();
    const given = writer.write("given up while it waited", { signal: controller.signal });
    const waiting = Array.from({ length: 10 }, (_, index) => writer.write(`waited ${index}`));
    assert.equal(writer.stats().waiting, 11);
    controller.abort();
    assert.equal((await given.then(assert.fail, (error) => error)).known, "notWritten");
    await Promise.all(streams.map((stream) => proxy.clear(stream)));
    await Promise.all([...taken, ...waiting]);
    assert.ok(await writer.tryWrite("room again"));
    const all = [...(await stored()).values()].flatMap((records) => [...records.values()]);
    // While the streams stalled, sets may have been hedged, and then are in several.
    assert.equal(new Set(all.filter((record) => record.startsWith("waited "))).size, 10);
    assert.ok(!all.includes("given up while it waited"));
  });

  test("close completes earlier writes and refuses later ones", async (t) => {
    const writer = open();
    const before = Array.from({ length: 100 }, (_, index) =>
      writer.write(`before the close ${index}`),
    );
    const closing = writer.close();
    const error = await writer.write("after").then(assert.fail, (error) => error);
    assert.ok(error instanceof ClosedError && error.known === "notWritten");
    await closing;
    assert.equal((await Promise.all(before)).length, 100);
    assert.equal(writer.stats().recordsWritten, 100);
  });

  test("close with a timeout ends in time although all streams stall", async (t) => {
    await Promise.all(streams.map((stream) => proxy.stall(stream)));
    const writer = open({ requestTimeout: 60_000, pendingRecords: 2 });
    const results = Array.from({ length: 5 }, (_, index) =>
      writer.write(`never ${index}`).then(assert.fail, (error) => error),
    );
    await until("they were accepted", () => writer.stats().records === 2);
    await writer.close({ timeout: 100 });
    const errors = await Promise.all(results);
    assert.ok(errors.every((error) => error instanceof ClosedError));
    assert.deepEqual(
      errors.map((error) => error.known),
      ["unknown", "unknown", "notWritten", "notWritten", "notWritten"],
    );
    await Promise.all(streams.map((stream) => proxy.clear(stream)));
  });

  test("flush waits for all earlier writes", async (t) => {
    const writer = open();
    t.after(() => writer[Symbol.asyncDispose]());
    let done = 0;
    for (let index = 0; index < 500; index++)
      void writer.write(`flushed ${index}`).then(() => (done += 1));
    await writer.flush();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(done, 500);
  });

  test("the writer sends its requests through the fetch option", async (t) => {
    const seen = [];
    const own = (url, init) => {
      seen.push([
        url,
        init.method,
        init.headers.authorization,
        init.headers["x-own"],
        init.headers["content-type"],
      ]);
      return fetch(url, init);
    };
    const writer = open({
      streams: ["a stream/with strange+name"].map((name) => name.replace(/[ /+]/g, "-")),
      fetch: own,
      token: "secret",
      headers: { "x-own": "1" },
    });
    t.after(() => writer[Symbol.asyncDispose]());
    await writer.write("x");
    const expected = [
      `${proxy.url}/v1/streams/a-stream-with-strange-name/records`,
      "POST",
      "Bearer secret",
      "1",
      "application/vnd.distributedlog.record-set",
    ];
    assert.deepEqual(seen[0], expected);
  });

  test("a body that is changed in transit is refused by its checksum and sent again", async (t) => {
    let changed = 0;
    const worn = (url, init) => {
      if (changed > 0) return fetch(url, init);
      changed += 1;
      const body = init.body.slice();
      body[body.indexOf("w".charCodeAt(0))] += 1;
      return fetch(url, { ...init, body });
    };
    const writer = open({ fetch: worn });
    t.after(() => writer[Symbol.asyncDispose]());
    const { stream, dlsn, attempts } = await writer.write("whole");
    assert.deepEqual([changed, attempts, writer.stats().failures], [1, 2, 1]);
    assert.equal((await proxy.stored(stream)).get(`${dlsn}`), "whole");
    const all = [...(await stored()).values()].flatMap((records) => [...records.values()]);
    assert.ok(!all.includes("xhole"), "the changed record is in no stream");
  });

  test("invalid settings are refused with their name and the values allowed", async (t) => {
    const refused = [
      [{ streams: [] }, "streams"],
      [{ streams: ["a", "a"] }, "streams"],
      [{ url: "ftp://example.org" }, "url"],
      [{ url: `${proxy.url}?token=secret` }, "url"],
      [{ url: `${proxy.url}#fragment` }, "url"],
      [{ headers: { "x-own": "two\nlines of a secret" } }, "headers"],
      [{ token: "two\nlines of a secret" }, "headers"],
      [{ requestTimeout: "soon" }, "requestTimeout"],
      [{ requestTimout: 100 }, "requestTimout"],
    ];
    for (const [options, setting] of refused) {
      assert.throws(
        () => open(options),
        (error) =>
          error instanceof SettingsError &&
          error.setting === setting &&
          error.message.startsWith(setting) &&
          !error.message.includes("secret"),
      );
    }
    // Settings that only the module can check fail the writes.
    const late = [
      [{ maxSpeculativeTimeout: 10_000 }, "maxSpeculativeTimeout"],
      [{ firstSpeculativeTimeout: 300 }, "firstSpeculativeTimeout"],
      [{ budget: { share: 2, perSecond: 1, burst: 1 } }, "budget"],
      [{ health: { strikes: 1 } }, "health"],
      [{ window: 0 }, "window"],
      [{ connections: 0 }, "connections"],
    ];
    for (const [options, setting] of late) {
      const writer = open(options);
      const error = await writer.write("x").then(assert.fail, (error) => error);
      assert.ok(
        error instanceof SettingsError && error.setting === setting,
        `${setting}: ${error}`,
      );
      await writer.close();
    }
    const writer = open({
      budget: true,
      health: true,
      adaptive: true,
      window: 3,
      rounds: { limit: 2 },
    });
    t.after(() => writer[Symbol.asyncDispose]());
    assert.ok((await writer.write("valid")).dlsn);
  });

  test("credentials in the url are refused, and the error names the options for them", () => {
    for (const credentials of ["user:secret@", "user@", ":secret@"]) {
      const url = proxy.url.replace("//", `//${credentials}`);
      for (const create of [() => open({ url }), () => new MultiStreamReader({ url, streams })]) {
        assert.throws(create, ({ name, setting, message }) => {
          assert.deepEqual([name, setting], ["SettingsError", "url"]);
          assert.match(message, /option `token`, or an `authorization` in `headers`/);
          return !message.includes("secret");
        });
      }
    }
  });

  test("any number of writes share one signal without a warning", async (t) => {
    const warnings = [];
    const note = (warning) => warnings.push(warning.name);
    process.on("warning", note);
    t.after(() => process.off("warning", note));
    const writer = open();
    t.after(() => writer[Symbol.asyncDispose]());
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 100 }, (_, index) => writer.write(`${index}`, { signal })));
    // Warnings are emitted in a later tick.
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(warnings, []);
  });

  test("a suspended process resumes without a burst of hedges", async () => {
    const suspend = async (more) => {
      const writer = open({ firstSpeculativeTimeout: 20, maxSpeculativeTimeout: 20, ...more });
      const written = writer.write("suspended").then(
        ({ attempts }) => `written by ${attempts}`,
        ({ code }) => code,
      );
      await until("it is sent", () => writer.stats().attempts > 0);
      // Blocks the event loop: neither timers nor responses are handled.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000);
      const resumed = performance.now();
      const result = await written;
      // A hedge every 20 ms from then on, which on a busy machine are several.
      const due = 1 + (performance.now() - resumed) / 20;
      const { hedgesSent } = writer.stats();
      await writer.close();
      return { result, hedgesSent, due };
    };
    const { hedgesSent, due } = await suspend({});
    assert.ok(hedgesSent <= due && due < 50, `${hedgesSent} hedges; ${due} were due afterwards`);
    await Promise.all(streams.map((stream) => proxy.stall(stream)));
    const late = await suspend({ requestTimeout: 1_000 });
    assert.equal(late.result, "TIMED_OUT");
    assert.ok(late.hedgesSent <= 1, `${late.hedgesSent} hedges`);
    await Promise.all(streams.map((stream) => proxy.clear(stream)));
  });

  test("without a server the write fails as not written", async (t) => {
    const gone = await Proxy.start();
    await gone.stop();
    const writer = open({ url: gone.url, rounds: { limit: 1 } });
    t.after(() => writer[Symbol.asyncDispose]());
    const error = await writer.write("x").then(assert.fail, (error) => error);
    assert.deepEqual([error.code, error.known, error.attempts], ["EXHAUSTED", "notWritten", 5]);
    assert.ok(error.message.includes(`${gone.url} cannot be reached`), error.message);
  });
});
