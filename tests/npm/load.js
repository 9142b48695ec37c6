// Load for the benchmark and for the tests that bound it: writes records through the package, or
// with one request each.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { MultiStreamWriter } from "distributedlog";

const RECORD_BYTES = 100;

function record(index) {
  return `${index} `.padEnd(RECORD_BYTES, "x");
}

/** Calls `write` `count` times, `concurrency` at a time. Returns records per second. */
async function timed(count, concurrency, write) {
  let next = 0;
  const began = performance.now();
  const task = async () => {
    while (next < count) await write(record(next++));
  };
  await Promise.all(Array.from({ length: concurrency }, task));
  return (count / (performance.now() - began)) * 1000;
}

/**
 * Writes with one request per record, as a program does without the package. Returns records per
 * second.
 */
export function byFetch(url, streams, count, concurrency) {
  let turn = 0;
  const headers = { "content-type": "application/octet-stream" };
  return timed(count, concurrency, async (body) => {
    const stream = streams[turn++ % streams.length];
    const response = await fetch(`${url}/v1/streams/${stream}/records`, {
      method: "POST",
      headers,
      body,
    });
    if (!response.ok) throw new Error(`${response.status}`);
    await response.json();
  });
}

/** Writes the same records through the writer. Calls `inspect` after every `every` records. */
export async function byWriter(
  url,
  streams,
  count,
  concurrency,
  { every = Number.POSITIVE_INFINITY, inspect = () => {} } = {},
) {
  const writer = new MultiStreamWriter({ url, streams, requestTimeout: 30_000 });
  let written = 0;
  const perSecond = await timed(count, concurrency, async (body) => {
    await writer.write(body);
    if (++written % every === 0) await inspect(written, writer);
  });
  await writer.close();
  return { perSecond, stats: writer.stats() };
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc");

/** Returns the bytes in use after garbage collection: by JavaScript, and by the whole process. */
export async function memory() {
  for (let round = 0; round < 3; round++) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, rss };
}
