// The worker of vite-page.mjs.
import { MultiStreamWriter } from "distributedlog";
import { json, writeAll } from "distributedlog/streams";

onmessage = async ({ data: { url, streams, count } }) => {
  const { encode } = json();
  await using writer = new MultiStreamWriter({ url, streams, requestTimeout: 30_000 });
  const records = Array.from({ length: count }, (_, index) => encode({ index }));
  postMessage(await writeAll(writer, records));
};
