// How much batching brings, and that memory does not grow.
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

  test("the same records take a fifth of the time that a request for each takes", async (t) => {
    await byFetch(proxy.url, streams, 200, 64);
    await byWriter(proxy.url, streams, 200, 64);
    const fetched = await byFetch(proxy.url, streams, 4_000, 1_000);
    const { perSecond } = await byWriter(proxy.url, streams, 40_000, 1_000);
    t.diagnostic(
      `${fetched.toFixed(0)} records/s by a request each, ${perSecond.toFixed(0)} by the writer`,
    );
    assert.ok(perSecond >= 5 * fetched, `${(perSecond / fetched).toFixed(1)} times as many`);
  });

  test("memory is as it was after a hundred thousand records more", async (t) => {
    const used = [];
    const look = async () => used.push((await memory()).used);
    await byWriter(proxy.url, streams, 150_000, 1_000, { every: 50_000, look });
    t.diagnostic(
      `MB after 50,000, 100,000 and 150,000 records: ${used.map((bytes) => (bytes / MEGABYTE).toFixed(1)).join(", ")}`,
    );
    assert.equal(used.length, 3);
    // A byte kept of each record would be less than this; the record itself 10 MB.
    assert.ok(used[2] - used[0] < 2 * MEGABYTE, `${used[2] - used[0]} bytes more`);
  });
});
