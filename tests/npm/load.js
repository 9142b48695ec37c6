// Writes many records, by the package and by one request for each: for the benchmark and for the tests that bound it.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { MultiStreamWriter } from "distributedlog";

const RECORD_BYTES = 100;

function record(index) {
  return `${index} `.padEnd(RECORD_BYTES, "x");
}

/** Runs `write` so often, with so many at a time. Records a second. */
async function timed(count, atATime, write) {
  let next = 0;
  const began = performance.now();
  const task = async () => {
    while (next < count) await write(record(next++));
  };
  await Promise.all(Array.from({ length: atATime }, task));
  return (count / (performance.now() - began)) * 1000;
}

/** One request for each record: what a program does without the package. */
export function byFetch(url, streams, count, atATime) {
  let turn = 0;
  const headers = { "content-type": "application/octet-stream" };
  return timed(count, atATime, async (body) => {
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

/** The same records through the writer. `look` is called after every `every` of them. */
export async function byWriter(
  url,
  streams,
  count,
  atATime,
  { every = Number.POSITIVE_INFINITY, look = () => {} } = {},
) {
  const writer = new MultiStreamWriter({ url, streams, requestTimeout: 30_000 });
  let written = 0;
  const perSecond = await timed(count, atATime, async (body) => {
    await writer.write(body);
    if (++written % every === 0) await look(written, writer);
  });
  await writer.close();
  return { perSecond, stats: writer.stats() };
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc");

/** Bytes that are in use once what can be freed is: by JavaScript, and by the whole process. */
export async function memory() {
  for (let round = 0; round < 3; round++) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, rss };
}
