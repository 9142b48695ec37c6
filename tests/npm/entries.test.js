// The entries besides the main one: distributedlog/admin, distributedlog/streams and
// distributedlog/node.
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { createRequire } from "node:module";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, describe, test } from "node:test";

import * as imported from "distributedlog";
import {
  AbortedError,
  Dlsn,
  DistributedLogError,
  MultiStreamReader,
  MultiStreamWriter,
  ReadError,
  SettingsError,
  TooLargeError,
  WriteError,
} from "distributedlog";
import { AdminError, StreamAdmin } from "distributedlog/admin";
import * as withDiagnostics from "distributedlog/node";
import { decoding, encoding, json, writableStream, writeAll, writeBatch } from "distributedlog/streams";

import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";
import { until } from "./wait.js";

const require = createRequire(import.meta.url);
const failure = (promise) => promise.then(assert.fail, (error) => error);

describe("entries", () => {
  let proxy;
  let group = 0;
  before(async () => {
    proxy = await Proxy.start();
  });
  after(() => proxy.stop());

  const open = (t, options = {}) => {
    const streams = options.streams ?? [`e-${group++}`];
    const { Writer = MultiStreamWriter, ...rest } = options;
    const all = { ...NO_HISTORY, url: proxy.url, streams, requestTimeout: 30_000, ...rest };
    const writer = new Writer(all);
    t.after(() => writer.close({ timeout: 0 }));
    return writer;
  };
  const texts = async (writer) => [...(await proxy.stored(writer.streams[0])).values()];

  test("streams are created, listed, described, truncated and deleted", async () => {
    const admin = new StreamAdmin({ url: proxy.url });
    assert.equal(await admin.create("admin-1"), true);
    assert.equal(await admin.create("admin-1"), false);
    await admin.create("admin-2");
    const names = [];
    for await (const name of admin.list({ prefix: "admin-" })) names.push(name);
    assert.deepEqual(names, ["admin-1", "admin-2"]);
    const empty = await admin.info("admin-1");
    assert.deepEqual([empty.stream, empty.first, empty.last], ["admin-1", undefined, undefined]);
    const writer = new MultiStreamWriter({ url: proxy.url, streams: ["admin-1"], requestTimeout: 30_000 });
    const places = [];
    for (const record of ["a", "b", "c"]) places.push((await writer.write(record)).dlsn);
    await writer.close();
    const full = await admin.info("admin-1");
    assert.ok(full.first instanceof Dlsn);
    assert.deepEqual([`${full.first}`, `${full.last}`], [`${places[0]}`, `${places[2]}`]);
    assert.deepEqual([full.segments[0].logSegment, full.segments[0].records], [1, 3]);
    assert.ok(full.createdMs > 1.7e12 && full.segments[0].lastMs >= full.segments[0].firstMs);
    await admin.truncate("admin-1", places[1]);
    assert.equal(`${(await admin.info("admin-1")).truncatedBefore}`, `${places[1]}`);
    await admin.truncate("admin-1", new Date(0));
    await admin.delete("admin-1");
    const gone = await failure(admin.info("admin-1"));
    assert.ok(gone instanceof AdminError && gone instanceof DistributedLogError);
    assert.deepEqual([gone.code, gone.status], ["LOG_NOT_FOUND", 404]);
  });

  test("retention is set for a stream and for the namespace", async () => {
    const admin = new StreamAdmin({ url: proxy.url });
    await admin.create("kept");
    assert.deepEqual(await admin.retention("kept"), { ageMs: undefined, bytes: undefined, own: false });
    const day = { ageMs: 86_400_000, bytes: undefined };
    assert.deepEqual(await admin.setRetention(undefined, day), { ...day, own: true });
    assert.deepEqual(await admin.retention("kept"), { ...day, own: false });
    await admin.setRetention("kept", { bytes: 1_000_000 });
    assert.equal((await admin.retention("kept")).own, true);
    assert.equal((await admin.removeRetention("kept")).own, false);
    assert.equal((await admin.removeRetention()).own, false);
  });

  test("the errors of administration say what became of the request", async () => {
    const gone = await Proxy.start();
    await gone.stop();
    const unreachable = await failure(new StreamAdmin({ url: gone.url }).create("x"));
    assert.deepEqual([unreachable.code, unreachable.known], ["UNREACHABLE", "notWritten"]);
    const late = new StreamAdmin({
      url: proxy.url,
      timeout: 50,
      fetch: (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    });
    const error = await failure(late.delete("x"));
    assert.deepEqual([error.code, error.known, error.message], ["TIMED_OUT", "unknown", "no response within 50 ms"]);
    const invalid = await failure(new StreamAdmin({ url: proxy.url }).create(`${"x".repeat(2_000)}`));
    assert.equal(invalid.known, "notWritten", invalid.message);
    assert.throws(() => new StreamAdmin({ url: "ftp://x" }), SettingsError);
    assert.throws(() => new StreamAdmin({ url: proxy.url, timeout: 0 }), SettingsError);
  });

  test("writeAll takes records only as there is room, and counts them", async (t) => {
    const writer = open(t, { pendingRecords: 100 });
    let taken = 0;
    let most = 0;
    async function* records() {
      for (; taken < 5_000; taken++) {
        most = Math.max(most, taken - writer.stats().recordsWritten);
        yield `${taken}`;
      }
    }
    const places = new Set();
    const onWritten = ({ dlsn }, index) => places.add(`${index} ${dlsn}`);
    assert.deepEqual(await writeAll(writer, records(), { onWritten }), { written: 5_000, failed: 0 });
    assert.equal(places.size, 5_000);
    assert.ok(most <= 101, `${most} records were under way`);
    assert.equal((await texts(writer)).length, 5_000);
    assert.deepEqual(await writeAll(writer, []), { written: 0, failed: 0 });
  });

  test("writeAll ends with the first error, or passes each one on", async (t) => {
    const writer = open(t);
    const records = ["a", new Uint8Array(2_000_000), "b"];
    assert.ok((await failure(writeAll(writer, records))) instanceof TooLargeError);
    const errors = [];
    const onError = (error, index) => errors.push([index, error.code]);
    assert.deepEqual(await writeAll(writer, records, { onError }), { written: 2, failed: 1 });
    assert.deepEqual(errors, [[1, "TOO_LARGE"]]);
    const signal = AbortSignal.abort();
    assert.ok((await failure(writeAll(writer, records, { signal }))) instanceof AbortedError);
    const thrown = writeAll(writer, ["x"], {
      onWritten: () => {
        throw new Error("mine");
      },
    });
    assert.equal((await failure(thrown)).message, "mine");
  });

  test("writeBatch returns the results in the order of the records", async (t) => {
    const writer = open(t, { pendingRecords: 10 });
    const records = Array.from({ length: 1_000 }, (_, index) => `${index}`);
    const results = await writeBatch(writer, [...records, new Uint8Array(2_000_000)]);
    assert.equal(results.at(-1).reason.code, "TOO_LARGE");
    const found = await proxy.stored(writer.streams[0]);
    records.forEach((record, index) => {
      assert.equal(found.get(`${results[index].value.dlsn}`), record);
    });
  });

  test("a WritableStream takes a web stream and a stream of Node", async (t) => {
    const writer = open(t, { pendingRecords: 20 });
    const records = Array.from({ length: 500 }, (_, index) => `${index}`);
    await ReadableStream.from(records).pipeTo(writableStream(writer, { close: false }));
    assert.equal((await texts(writer)).length, 500);
    await pipeline(Readable.from(records), Writable.fromWeb(writableStream(writer)));
    assert.equal((await texts(writer)).length, 1_000);
    assert.equal((await failure(writer.write("late"))).code, "CLOSED");
    const failing = writableStream(open(t));
    const error = await failure(ReadableStream.from(["a", new Uint8Array(2_000_000)]).pipeTo(failing));
    assert.ok(error instanceof TooLargeError);
  });

  test("values are encoded and decoded by a codec", async (t) => {
    const writer = open(t);
    const events = encoding(writer, json());
    await events.write({ at: 1 });
    await events.tryWrite({ at: 2 });
    await events.ready();
    assert.ok((await failure(events.write({ at: 1n }))) instanceof TypeError);
    const reader = new MultiStreamReader({ url: proxy.url, streams: writer.streams, follow: false });
    const values = [];
    for await (const { value, record } of decoding(reader, json())) values.push([value.at, record.text()]);
    assert.deepEqual(values, [
      [1, '{"at":1}'],
      [2, '{"at":2}'],
    ]);
  });

  test("writers and readers publish what they do in diagnostics_channel", async (t) => {
    const seen = { attempt: [], write: [], fault: [] };
    for (const [name, messages] of Object.entries(seen)) {
      const note = (message) => messages.push(message);
      subscribe(`distributedlog:${name}`, note);
      t.after(() => unsubscribe(`distributedlog:${name}`, note));
    }
    const own = [];
    const writer = open(t, {
      Writer: withDiagnostics.MultiStreamWriter,
      onAttempt: (report) => own.push(report),
    });
    assert.ok(writer instanceof MultiStreamWriter);
    const { stream, dlsn } = await writer.write("seen");
    await writer.tryWrite("seen too");
    await failure(writer.write(new Uint8Array(2_000_000)));
    await until("all are published", () => seen.write.length === 3 && own.length === 2);
    assert.deepEqual([seen.write[0].stream, seen.write[0].dlsn], [stream, dlsn]);
    assert.ok(seen.write.every((write) => write.writer === writer && write.duration >= 0));
    assert.equal(seen.write[2].error.code, "TOO_LARGE");
    assert.deepEqual(
      seen.attempt.map(({ outcome, writer: by }) => [outcome, by === writer]),
      [
        ["written", true],
        ["written", true],
      ],
    );
    const reader = new withDiagnostics.MultiStreamReader({
      url: proxy.url,
      streams: ["no-such-stream"],
      follow: false,
    });
    assert.ok((await failure(reader.next())) instanceof ReadError);
    assert.deepEqual(
      seen.fault.map(({ stream, reader: by }) => [stream, by === reader]),
      [["no-such-stream", true]],
    );
    assert.equal(withDiagnostics.MultiStreamWriter.name, "MultiStreamWriter");
  });

  test("instanceof recognises errors of the other module system, and of no other class", async (t) => {
    const required = require("distributedlog");
    assert.notEqual(required.WriteError, WriteError);
    const error = await failure(open(t).write(new Uint8Array(2_000_000)));
    const other = await failure(open(t, { Writer: required.MultiStreamWriter }).write(new Uint8Array(2_000_000)));
    for (const each of [error, other]) {
      for (const classes of [required, imported]) {
        assert.ok(each instanceof classes.TooLargeError && each instanceof classes.WriteError);
        assert.ok(each instanceof classes.DistributedLogError && each instanceof Error);
        assert.ok(!(each instanceof classes.ClosedError));
      }
      assert.equal(each.name, "TooLargeError");
    }
    assert.ok(required.Dlsn.INITIAL instanceof Dlsn && !({} instanceof Dlsn) && !(null instanceof Dlsn));
    class Mine extends TooLargeError {}
    assert.ok(!(error instanceof Mine));
    const { AdminError: requiredAdminError } = require("distributedlog/admin");
    const gone = await failure(new StreamAdmin({ url: proxy.url }).info("no-such-stream"));
    assert.ok(gone instanceof requiredAdminError);
    assert.equal(require("distributedlog/node").WriteError, required.WriteError);
    assert.equal(typeof require("distributedlog/streams").writeAll, "function");
  });
});
