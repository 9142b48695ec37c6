// Records and sets as they are stored: the reader of frames, against the real proxy and against
// responses made here.
import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { MultiStreamReader, MultiStreamWriter } from "distributedlog";

import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";

const ENTRIES = "application/vnd.distributedlog.entries";
const SET = "application/vnd.distributedlog.record-set";

/** Numbers as bytes: [value, size] each, big-endian; or bytes. */
function bytes(...parts) {
  return Buffer.concat(
    parts.map((part) => {
      if (!Array.isArray(part)) return Buffer.from(part);
      const [value, size] = part;
      const buffer = Buffer.alloc(size);
      if (size === 8) buffer.writeBigInt64BE(BigInt(value));
      else buffer.writeUIntBE(value, 0, size);
      return buffer;
    }),
  );
}

const frame = (kind, entry, slot, time, ...rest) => {
  const content = bytes([kind, 1], [1, 8], [entry, 8], [slot, 8], [time, 8], ...rest);
  return bytes([content.length, 4], content);
};
const end = (entry) => frame(5, entry, 0, 7, [9, 1], "caught_up");

/** A set of records, plain or with this LZ4 block. */
function setOf(records, block) {
  const payload = bytes(...records.flatMap((record) => [[record.length, 4], record]));
  const stored = block ?? payload;
  const kind = block ? 0x1001 : 0x1000;
  const sizes = [records.length, payload.length, stored.length].map((size) => [size, 4]);
  return bytes([kind, 4], ...sizes, stored);
}

/** An LZ4 block of one record of ten letters: literals, and a match that overlaps itself. */
const BLOCK = bytes([0x50, 1], [10, 4], "a", [0x0100, 2], [0x50, 1], "aaaaa");
const COMPRESSED = setOf(["aaaaaaaaaa"], BLOCK);

/** A server whose only response has this body, in pieces of `size` bytes. */
function serving(body, size = body.length) {
  return async (_url, { headers }) => {
    assert.match(headers.accept, new RegExp(ENTRIES));
    const pieces = [];
    for (let at = 0; at < body.length; at += size) pieces.push(body.subarray(at, at + size));
    return {
      ok: true,
      status: 200,
      headers: { get: (name) => (name === "content-type" ? ENTRIES : null) },
      body: ReadableStream.from(pieces),
      text: async () => "",
    };
  };
}

async function read(fetch, options = {}) {
  const faults = [];
  const reader = new MultiStreamReader({
    url: "http://127.0.0.1:1",
    streams: ["s"],
    follow: false,
    fetch,
    onFault: (fault) => faults.push(fault),
    ...options,
  });
  const found = [];
  for await (const { dlsn, payload } of reader) found.push(`${dlsn} ${Buffer.from(payload)}`);
  return { found, faults, position: reader.position() };
}

describe("frames", () => {
  const response = bytes(
    frame(1, 0, 1, 7),
    frame(3, 0, 0, 9, [3, 4], setOf(["before", "b", ""])),
    frame(2, 1, 0, 9, "alone"),
    bytes([3, 4], [200, 1], [0, 2]),
    frame(3, 2, 0, 9, [1, 4], COMPRESSED),
    frame(4, 3, 0, 7),
    end(3),
  );

  test("records are read however the frames are cut, without those before the start", async () => {
    for (const size of [1, 2, 3, 7, 64, response.length]) {
      const { found, faults, position } = await read(serving(response, size));
      assert.deepEqual(found, ["1,0,1 b", "1,0,2 ", "1,1,0 alone", "1,2,0 aaaaaaaaaa"]);
      assert.deepEqual(faults, []);
      // Behind the last record, or at the end that was met.
      assert.match(JSON.stringify(position.streams.s), /"1,[23],0@7"/);
    }
  });

  test("damaged sets are reported with their positions, and reading goes on behind them", async () => {
    const whole = setOf(["a", "b"]);
    const damaged = [
      Buffer.from("nonsense"),
      whole.subarray(0, whole.length - 1),
      // Another number of records than the frame says.
      setOf(["a"]),
      bytes([0x1002, 4], whole.subarray(4)),
      setOf(["a", "b"], bytes([0x50, 1], [10, 4], "a", [0xffff, 2])),
      setOf(["a", "b"], bytes([0xf0, 1], [0xff, 1])),
      bytes([0x1000, 4], [2, 4], [0x7fffffff, 4], [0x7fffffff, 4]),
      bytes([0x1000, 4], [2, 4], [8, 4], [8, 4], [0xffffffff, 4], [0, 4]),
    ];
    const frames = damaged.map((set, entry) => frame(3, entry, 0, 9, [2, 4], set));
    const body = bytes(frame(1, 0, 0, 7), ...frames, frame(2, 99, 0, 9, "behind"), end(100));
    const { found, faults } = await read(serving(body));
    assert.deepEqual(found, ["1,99,0 behind"]);
    assert.equal(faults.length, damaged.length);
    for (const [entry, fault] of faults.entries()) {
      assert.equal(fault.kind, "malformed");
      assert.equal(`${fault.dlsn} ${fault.slots}`, `1,${entry},0 2`);
    }
  });

  test("a frame that is too long is refused by its length", async () => {
    for (const length of [0, 4 * 1024 * 1024 + 1, 0xffffffff]) {
      let refused;
      const reader = new MultiStreamReader({
        url: "http://127.0.0.1:1",
        streams: ["s"],
        fetch: serving(bytes([length, 4])),
        onFault: ({ detail }) => {
          refused = detail;
          void reader.return();
        },
      });
      await reader.next();
      assert.match(refused, new RegExp(`a frame of ${length} bytes`));
    }
  });
});

describe("against the proxy", () => {
  let proxy;
  before(async () => {
    proxy = await Proxy.start();
  });
  after(() => proxy.stop());

  test("records as stored are those of the lines", async (t) => {
    const streams = ["stored-0", "stored-1"];
    await proxy.create(...streams);
    const writer = new MultiStreamWriter({ ...NO_HISTORY, url: proxy.url, streams });
    t.after(() => writer.close({ timeout: 0 }));
    const records = Array.from({ length: 2000 }, (_, index) => "x".repeat(index % 300) + index);
    await Promise.all(records.map((record) => writer.write(record)));
    for (const [type, body] of [
      ["application/octet-stream", Buffer.from([0xff, 0, 10])],
      [SET, COMPRESSED],
    ]) {
      const path = `${proxy.url}/v1/streams/stored-0/records`;
      const headers = { "content-type": type };
      const response = await fetch(path, { method: "POST", body, headers });
      assert.equal(response.status, 200, await response.text());
    }
    const kinds = [];
    const all = async (accept) => {
      const asking = async (url, init) => {
        const headers = { ...init.headers, ...(accept && { accept }) };
        const response = await fetch(url, { ...init, headers });
        kinds.push(response.headers.get("content-type"));
        return response;
      };
      const found = [];
      // Duplicates of hedged sets too: which of them a merged reader delivers may differ.
      const options = { url: proxy.url, streams, follow: false, merge: false, fetch: asking };
      const reader = new MultiStreamReader(options);
      for await (const { stream, dlsn, payload, writtenMs, set } of reader) {
        const hex = Buffer.from(payload).toString("hex");
        found.push(JSON.stringify([stream, `${dlsn}`, hex, writtenMs, set]));
      }
      const { seen, ...position } = reader.position();
      return { found: found.sort(), position };
    };
    const [stored, lines] = [await all(), await all("application/x-ndjson")];
    assert.deepEqual(kinds, [ENTRIES, ENTRIES, "application/x-ndjson", "application/x-ndjson"]);
    assert.ok(stored.found.length >= 2002, `${stored.found.length} records`);
    assert.deepEqual(stored, lines);
  });

  test("records come as lines where the file that parses frames is missing", async () => {
    const here = import.meta.dirname;
    const dist = join(here, "without-frames");
    cpSync(join(here, "node_modules/distributedlog/dist"), dist, { recursive: true });
    rmSync(join(dist, "frames.js"));
    const incomplete = await import(join(dist, "node.js"));
    await proxy.create("without-frames");
    const streams = ["without-frames"];
    const writer = new MultiStreamWriter({ ...NO_HISTORY, url: proxy.url, streams });
    await writer.write("a record");
    await writer.close();
    const kinds = [];
    const asking = async (url, init) => {
      const response = await fetch(url, init);
      kinds.push(response.headers.get("content-type"));
      return response;
    };
    const options = { url: proxy.url, streams, follow: false, fetch: asking };
    const found = [];
    for await (const record of new incomplete.MultiStreamReader(options)) found.push(record.text());
    assert.deepEqual([found, kinds], [["a record"], ["application/x-ndjson"]]);
  });
});
