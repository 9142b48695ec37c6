// Bounds of the gain by batching, and of memory.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { byFetch, byWriter, memory } from "./load.js";
import { Proxy } from "./proxy.js";

const streams = ["t-1", "t-2", "t-3", "t-4", "t-5"];
const MEGABYTE = 1024 * 1024;

describe("load", () => {
  let proxy;
  before(async () => {
    proxy = await Proxy.start();
    await proxy.create(...streams);
  });
  after(() => proxy.stop());

  test("batching is at least five times as fast as one request per record", async (t) => {
    await byFetch(proxy.url, streams, 200, 64);
    await byWriter(proxy.url, streams, 200, 64);
    const fetched = await byFetch(proxy.url, streams, 4_000, 1_000);
    const { perSecond } = await byWriter(proxy.url, streams, 40_000, 1_000);
    t.diagnostic(
      `${fetched.toFixed(0)} records/s by a request each, ${perSecond.toFixed(0)} by the writer`,
    );
    assert.ok(perSecond >= 5 * fetched, `${(perSecond / fetched).toFixed(1)} times as many`);
  });

  test("memory does not grow over a hundred thousand records", async (t) => {
    const used = [];
    const inspect = async () => used.push((await memory()).used);
    await byWriter(proxy.url, streams, 150_000, 1_000, { every: 50_000, inspect });
    const megabytes = used.map((bytes) => (bytes / MEGABYTE).toFixed(1));
    t.diagnostic(`MB after 50,000, 100,000 and 150,000 records: ${megabytes.join(", ")}`);
    assert.equal(used.length, 3);
    // Keeping the 100 bytes of each record would add 10 MB, keeping 20 bytes of each would add
    // these 2 MB.
    assert.ok(used[2] - used[0] < 2 * MEGABYTE, `${used[2] - used[0]} bytes more`);
  });
});
