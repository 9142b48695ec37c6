// The reader in Node, against the real proxy.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Dlsn, MultiStreamReader, MultiStreamWriter, ReadError } from "distributedlog";

import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";
import { until } from "./wait.js";

describe("reading", () => {
  let proxy;
  before(async () => {
    proxy = await Proxy.start();
  });
  after(() => proxy.stop());

  /** Creates streams for one test. */
  let count = 0;
  async function streamsOf(number) {
    const group = count++;
    const streams = Array.from({ length: number }, (_, index) => `r-${group}-${index}`);
    await proxy.create(...streams);
    return streams;
  }

  const open = (t, streams, options = {}) => {
    const reader = new MultiStreamReader({ url: proxy.url, streams, ...options });
    t.after(() => reader.return());
    return reader;
  };

  const writerOf = (t, streams, options = {}) => {
    const writer = new MultiStreamWriter({
      ...NO_HISTORY,
      url: proxy.url,
      streams,
      requestTimeout: 30_000,
      ...options,
    });
    t.after(() => writer.close({ timeout: 0 }));
    return writer;
  };

  async function take(reader, number) {
    const records = [];
    while (records.length < number) {
      const { done, value } = await reader.next();
      assert.ok(!done, `the reader ended after ${records.length} of ${number} records`);
      records.push(value);
    }
    return records;
  }

  test("ten thousand records are read back once each, at their positions", async (t) => {
    const streams = await streamsOf(5);
    const writer = writerOf(t, streams);
    const expected = new Map();
    const written = Array.from({ length: 10_000 }, async (_, index) => {
      const { stream, dlsn } = await writer.write(`record ${index}`);
      expected.set(`record ${index}`, `${stream} ${dlsn}`);
    });
    await Promise.all(written);
    const found = new Map();
    for await (const record of open(t, streams, { follow: false })) {
      assert.ok(!found.has(record.text()), `${record.text()} came twice`);
      found.set(record.text(), `${record.stream} ${record.dlsn}`);
    }
    assert.equal(found.size, 10_000);
    // A duplicate of another stream may be delivered first.
    const elsewhere = [...expected].filter(([record, place]) => found.get(record) !== place);
    const { hedgesSent } = writer.stats();
    assert.ok(
      hedgesSent > 0 || elsewhere.length === 0,
      `${elsewhere.length} records lie elsewhere although nothing was hedged`,
    );
  });

  test("duplicates that hedging made are delivered once", async (t) => {
    const streams = await streamsOf(3);
    await proxy.stall(streams[0]);
    const writer = writerOf(t, streams, { firstSpeculativeTimeout: 20, bufferSize: 0 });
    for (let index = 0; index < 60; index++) await writer.write(`hedged ${index}`);
    // The stalled sets are written now, unless their abort came first. Usually there are some of
    // both.
    const late = Array.from({ length: 4 }, (_, index) => writer.write(`late ${index}`));
    await until("they are under way", () => writer.stats().records === 64);
    await proxy.clear(streams[0]);
    await Promise.all(late);
    assert.ok(writer.stats().hedgesWon >= 10);
    const storedIn = async (names) => {
      const all = await Promise.all(names.map((stream) => proxy.stored(stream)));
      return all.reduce((sum, { size }) => sum + size, 0);
    };
    const before = await storedIn(streams);
    const reader = open(t, streams, { follow: false });
    const texts = [];
    for await (const record of reader) texts.push(record.text());
    assert.equal(new Set(texts).size, texts.length);
    assert.equal(texts.length, 64);
    const { delivered, copiesDropped } = reader.stats();
    // Duplicates may still be stored: of those that were there before and are there now, it has
    // delivered or dropped each.
    const now = await storedIn(streams);
    const read = delivered + copiesDropped;
    assert.ok(before <= read && read <= now, `${before} records, ${read} read, ${now} records`);
  });

  test("duplicates in two streams are recognised by nothing but their identity", async (t) => {
    const streams = await streamsOf(2);
    const writer = writerOf(t, [streams[0]]);
    await Promise.all(["a", "b", "c"].map((record) => writer.write(record)));
    // Stores the same set again, as a late hedge does.
    let body;
    const recorder = writerOf(t, [streams[0]], {
      fetch: (url, init) => {
        body = init.body;
        return fetch(url, init);
      },
    });
    await recorder.write("copied");
    const headers = { "content-type": "application/vnd.distributedlog.record-set" };
    const response = await fetch(`${proxy.url}/v1/streams/${streams[1]}/records`, {
      method: "POST",
      headers,
      body,
    });
    assert.equal(response.status, 200);
    await fetch(`${proxy.url}/v1/streams/${streams[1]}/records`, {
      method: "POST",
      headers: { "content-type": "text/plain" },
      body: "copied",
    });
    const reader = open(t, streams, { follow: false });
    const texts = [];
    for await (const record of reader) texts.push(record.text());
    assert.deepEqual(
      texts.sort(),
      ["a", "b", "c", "copied", "copied"],
      "a set without an identity has no duplicates",
    );
    assert.equal(reader.stats().copiesDropped, 1);
  });

  test("three connections deliver the records of seven streams as they are written", async (t) => {
    const streams = await streamsOf(7);
    const reader = open(t, streams, { connections: 3 });
    const writer = writerOf(t, streams, { bufferSize: 0 });
    const seen = new Set();
    for (let round = 0; round < 3; round++) {
      const records = Array.from({ length: 21 }, (_, index) => `round ${round}, ${index}`);
      await Promise.all(records.map((record) => writer.write(record)));
      for (const record of await take(reader, 21)) seen.add(record.text());
    }
    assert.equal(seen.size, 63);
  });

  test("a stream that is always busy yields its connection to the others", async (t) => {
    const [busy, quiet] = await streamsOf(2);
    const writer = writerOf(t, [busy], { bufferSize: 0 });
    await writer.write("busy");
    const reader = open(t, [busy, quiet], { connections: 1 });
    assert.equal((await reader.next()).value.stream, busy);
    // From now on the busy stream always has an unread record.
    let seen = false;
    const write = async () => {
      while (!seen) await writer.write("busy");
    };
    const writing = write();
    await writerOf(t, [quiet]).write("quiet");
    while (!seen) seen = (await reader.next()).value.text() === "quiet";
    await writing;
  });

  test("a reader resumes at another one's position and drops its duplicates", async (t) => {
    const streams = await streamsOf(3);
    const writer = writerOf(t, streams, { bufferSize: 64 });
    await Promise.all(Array.from({ length: 300 }, (_, index) => writer.write(`resumed ${index}`)));
    const seen = [];
    let position;
    for (let round = 0; round < 5; round++) {
      const reader = new MultiStreamReader({
        url: proxy.url,
        ...(position === undefined ? { streams } : { position }),
      });
      for (const record of await take(reader, 47)) seen.push(record.text());
      position = JSON.parse(JSON.stringify(reader.position()));
      await reader.return();
    }
    for await (const record of open(t, undefined, { position, follow: false }))
      seen.push(record.text());
    assert.equal(seen.length, 300);
    assert.equal(new Set(seen).size, 300);
    const damaged = open(t, undefined, { position: { ...position, seen: "AQAA" } });
    await assert.rejects(
      damaged.next(),
      (error) => error instanceof ReadError && error.code === "POSITION",
    );
  });

  test("a reader survives the server's death, and misses and repeats nothing", async (t) => {
    const streams = await streamsOf(3);
    const faults = [];
    const reader = open(t, streams, { onFault: (fault) => faults.push(fault) });
    const writer = writerOf(t, streams);
    const seen = new Set();
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        Array.from({ length: 50 }, (_, index) => writer.write(`round ${round}, ${index}`)),
      );
      for (const record of await take(reader, 50)) seen.add(record.text());
      await proxy.kill();
      await proxy.restart();
    }
    assert.equal(seen.size, 150);
    assert.ok(faults.length > 0 && faults.every(({ kind }) => kind === "unavailable"));
    assert.ok(reader.stats().connections > streams.length);
  });

  test("reading starts at the position that `from` names", async (t) => {
    const streams = await streamsOf(2);
    const writer = writerOf(t, [streams[0]], { bufferSize: 0 });
    const places = [];
    for (let index = 0; index < 5; index++)
      places.push((await writer.write(`place ${index}`)).dlsn);
    const [third] = await take(open(t, [streams[0]], { from: places[3] }), 1);
    assert.equal(third.text(), "place 3");
    assert.equal(third.dlsn.compare(places[3]), 0);
    const [text] = await take(open(t, [streams[0]], { from: { [streams[0]]: `${places[1]}` } }), 1);
    assert.equal(text.text(), "place 1");
    const since = open(t, [streams[0]], { from: new Date(0) });
    assert.deepEqual((await take(since, 1))[0].dlsn, places[0]);
    const later = open(t, [streams[0]], { from: new Date(Date.now() + 3_600_000), follow: false });
    assert.equal((await later.next()).done, true);
    assert.throws(() => open(t, [streams[0]], { from: new Date(NaN) }), RangeError);

    const end = open(t, streams, { from: "end" });
    const next = end.next();
    await until("both are tailed", () => end.stats().connections === 2);
    // The first line contains the position of the end, which is fixed from then on.
    await until("the end is known", () =>
      Object.values(end.position().streams).every((place) => place.from !== "end"),
    );
    await writer.write("behind the end");
    assert.equal((await next).value.text(), "behind the end");
  });

  test("the iteration ends when all streams are deleted", async (t) => {
    const streams = await streamsOf(2);
    const faults = [];
    const reader = open(t, streams, { onFault: ({ stream, kind }) => faults.push([stream, kind]) });
    const writer = writerOf(t, [streams[0]]);
    await writer.write("before");
    assert.equal((await reader.next()).value.text(), "before");
    const end = reader.next();
    await proxy.ask("DELETE", `/v1/streams/${streams[0]}`);
    await proxy.ask("DELETE", `/v1/streams/${streams[1]}`);
    assert.deepEqual(await end, { done: true, value: undefined });
    assert.deepEqual(faults.sort(), [
      [streams[0], "deleted"],
      [streams[1], "deleted"],
    ]);
  });

  /** Reads to the end. Returns the texts of the records, and the error that ended it. */
  async function readAll(reader) {
    const texts = [];
    try {
      for await (const record of reader) texts.push(record.text());
    } catch (error) {
      return [texts, error];
    }
    return [texts, undefined];
  }

  const writeEach = async (stream, ...records) => {
    for (const body of records) {
      const headers = { "content-type": "text/plain" };
      const response = await fetch(`${proxy.url}/v1/streams/${stream}/records`, {
        method: "POST",
        headers,
        body,
      });
      assert.equal(response.status, 200);
    }
  };

  test("a position of a stream that was created again is refused by a code of its own", async (t) => {
    const [stream, other] = await streamsOf(2);
    await writeEach(stream, "old-1", "old-2", "old-3");
    const reader = open(t, [stream, other]);
    await take(reader, 2);
    const position = JSON.parse(JSON.stringify(reader.position()));
    await reader.return();
    // In the same life it resumes.
    const [rest] = await take(open(t, undefined, { position }), 1);
    assert.equal(rest.text(), "old-3");
    await proxy.ask("DELETE", `/v1/streams/${stream}`);
    await writeEach(stream, "new-1", "new-2", "new-3", "new-4");
    for (const follow of [false, true]) {
      const [texts, error] = await readAll(open(t, undefined, { position, follow }));
      assert.deepEqual([texts, error?.code, error?.streams], [[], "STREAM_RECREATED", [stream]]);
      assert.ok(error instanceof ReadError && error.status === 410);
      assert.match(error.message, /from=start/);
    }
  });

  test("a position beyond the end is refused by a code of its own", async (t) => {
    const [stream] = await streamsOf(1);
    await writeEach(stream, "one");
    for (const options of [
      { from: "1,7,0" },
      { position: { format: 1, streams: { [stream]: { after: "1,7,0" } }, seen: "" } },
    ]) {
      const [texts, error] = await readAll(open(t, [stream], options));
      assert.deepEqual([texts, error?.code, error?.streams], [[], "POSITION_BEYOND_END", [stream]]);
    }
  });

  test("a stream that is created again while it is read ends the reading by its code", async (t) => {
    const [stream, other] = await streamsOf(2);
    await writeEach(other, "of the other stream");
    await writeEach(stream, "old");
    let proxyGone = Promise.resolve();
    const reader = open(t, [stream, other], {
      // Until the stream is there again, no response arrives.
      fetch: (url, init) => proxyGone.then(() => fetch(url, init)),
    });
    const [first] = await take(reader, 1);
    let back = () => {};
    proxyGone = new Promise((resolve) => {
      back = resolve;
    });
    await proxy.kill();
    await proxy.restart();
    await proxy.ask("DELETE", `/v1/streams/${stream}`);
    await writeEach(stream, "new");
    back();
    // What was read before is delivered first.
    const [texts, error] = await readAll(reader);
    assert.deepEqual([first.text(), ...texts].sort(), ["of the other stream", "old"]);
    assert.deepEqual([error?.code, error?.streams], ["STREAM_RECREATED", [stream]]);
  });

  test("a reader that does not follow names the streams that do not exist", async (t) => {
    const [there] = await streamsOf(1);
    await writeEach(there, "one", "two");
    const faults = [];
    const streams = ["missing-1", there, "missing-2"];
    const onFault = ({ stream }) => faults.push(stream);
    const [texts, error] = await readAll(open(t, streams, { follow: false, onFault }));
    assert.deepEqual(texts, ["one", "two"]);
    assert.ok(error instanceof ReadError);
    assert.deepEqual(
      [error.code, error.streams, faults.sort()],
      ["STREAM_MISSING", ["missing-1", "missing-2"], ["missing-1", "missing-2"]],
    );
    assert.match(error.message, /missing-1, missing-2$/);
  });

  test("a server that never responds ends the reading after contactTimeout", async (t) => {
    const gone = await Proxy.start();
    await gone.stop();
    for (const follow of [true, false]) {
      const faults = [];
      const reader = open(t, ["x", "y"], {
        url: gone.url,
        follow,
        contactTimeout: 500,
        onFault: ({ kind }) => faults.push(kind),
      });
      const [texts, error] = await readAll(reader);
      assert.ok(error instanceof ReadError);
      assert.deepEqual([texts, error.code, error.status], [[], "UNREACHABLE", undefined]);
      assert.match(error.message, /did not respond for 500 ms; last failure: .* cannot be reached/);
      assert.equal(error.cause.message.includes("cannot be reached"), true);
      assert.ok(faults.length > 1 && faults.every((kind) => kind === "unavailable"));
    }
    for (const contactTimeout of [0, -1, NaN])
      assert.throws(() => open(t, ["x"], { contactTimeout }), /contactTimeout/);
  });

  test("contactTimeout counts from the last sign of the server, and a warning tells of it", async (t) => {
    const warnings = t.mock.method(console, "warn", () => {});
    const server = await Proxy.start();
    t.after(() => server.stop());
    await server.create("s");
    const reader = open(t, ["s"], { url: server.url, contactTimeout: 1_000, silence: 200 });
    const next = reader.next();
    // Silent streams send heartbeats: the reader outlives the timeout.
    await until("it reads", () => reader.stats().connections === 1);
    const began = performance.now();
    await until("the timeout has passed", () => performance.now() - began > 2_000);
    await server.kill();
    const error = await next.then(assert.fail, (error) => error);
    assert.equal(error.code, "UNREACHABLE");
    assert.equal(warnings.mock.callCount(), 1, "once, however often it tried");
    assert.match(warnings.mock.calls[0].arguments[0], /^distributedlog: s: /);
  });

  test("fifty streams are read without a warning", async (t) => {
    const warnings = [];
    const note = (warning) => warnings.push(warning.name);
    process.on("warning", note);
    t.after(() => process.off("warning", note));
    const streams = await streamsOf(50);
    await Promise.all(streams.map((stream) => writeEach(stream, stream)));
    const reader = open(t, streams, { buffer: 1 });
    const texts = (await take(reader, 50)).map((record) => record.text());
    assert.deepEqual(texts.sort(), [...streams].sort());
    // One after the other, so that the reader's buffers fill up and are emptied often.
    await writeEach(streams[0], ...Array.from({ length: 30 }, (_, index) => `${index}`));
    await take(reader, 30);
    assert.deepEqual(warnings, []);
  });

  test("leaving the loop or a signal closes the connections", async (t) => {
    const streams = await streamsOf(2);
    const writer = writerOf(t, streams);
    await writer.write("one");
    for await (const record of new MultiStreamReader({ url: proxy.url, streams })) {
      assert.equal(record.text(), "one");
      break;
    }
    const controller = new AbortController();
    const reader = open(t, streams, { from: "end", signal: controller.signal });
    const next = reader.next();
    await until("it reads", () => reader.stats().connections === 2);
    controller.abort();
    assert.deepEqual(await next, { done: true, value: undefined });
  });

  test("positions are parsed in every form and ordered like the records", () => {
    const base64 = "AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAABQ==";
    for (const text of ["1,0,5", "DLSN{logSegmentSequenceNo=1, entryId=0, slotId=5}", base64])
      assert.equal(`${Dlsn.parse(text)}`, "1,0,5");
    assert.equal(`${Dlsn.parse("9223372036854775807,0,-1")}`, "9223372036854775807,0,-1");
    for (const text of ["", "1,0", "1,0,x", base64.slice(1)])
      assert.throws(() => Dlsn.parse(text), SyntaxError);
    const ordered = ["1,0,0", "1,0,1", "1,9,0", "2,0,0", "10,0,0"].map(Dlsn.parse);
    assert.deepEqual(
      [...ordered]
        .reverse()
        .sort((left, right) => left.compare(right))
        .map(String),
      ordered.map(String),
    );
    assert.equal(JSON.stringify({ dlsn: Dlsn.INITIAL }), '{"dlsn":"1,0,0"}');
  });
});
