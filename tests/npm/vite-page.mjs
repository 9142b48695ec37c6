// Page that tests/npm/bundlers.test.js has Vite build, with a worker: it creates streams, lets the
// worker write to them, and reads them. Depends on nothing but the package.
import { MultiStreamReader } from "distributedlog";
import { StreamAdmin } from "distributedlog/admin";
import { decoding, json } from "distributedlog/streams";

globalThis.fromWorker = async (url, streams, count) => {
  const admin = new StreamAdmin({ url });
  for (const stream of streams) await admin.create(stream);
  const worker = new Worker(new URL("./vite-worker.mjs", import.meta.url), { type: "module" });
  const result = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
    worker.postMessage({ url, streams, count });
  });
  worker.terminate();
  const read = [];
  const reader = new MultiStreamReader({ url, streams, follow: false });
  for await (const { value } of decoding(reader, json())) read.push(value.index);
  return { result, read };
};
