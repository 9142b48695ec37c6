// Writes from a worker, so that the page or the main thread of Node has nothing to do for it.
//
//   dlog proxy --data events --http-port 8002
//   npm install distributedlog
//   node worker.mjs
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import { MultiStreamReader, MultiStreamWriter } from "distributedlog";

const url = process.env.DLOG_URL ?? "http://127.0.0.1:8002";
const streams = ["events-1", "events-2", "events-3"];

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { count: 100 } });
  const { written, failed, used } = await new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  console.log(`written: ${written}, failed: ${failed}`);

  let read = 0;
  for await (const _ of new MultiStreamReader({ url, streams: used, follow: false })) read += 1;
  console.log(`read: ${read}`);
} else {
  const writer = new MultiStreamWriter({ url, streams });
  // All at once: they share requests.
  const writes = Array.from({ length: workerData.count }, (_, number) => writer.write(`event ${number}`));
  const results = await Promise.allSettled(writes);
  await writer.close();
  const done = results.filter(({ status }) => status === "fulfilled");
  const written = done.length;
  // A stream begins with its first record: one that got none does not exist.
  const used = [...new Set(done.map(({ value }) => value.stream))];
  parentPort.postMessage({ written, failed: results.length - written, used });
}
