// Program that tests/npm/bundlers.test.js bundles: `bundled(url, streams)` writes through the
// package, and returns the records written and read.
import { MultiStreamReader, MultiStreamWriter } from "distributedlog";

globalThis.bundled = async (url, streams) => {
  const writer = new MultiStreamWriter({ url, streams, requestTimeout: 10_000 });
  const write = async (text) => {
    const { stream, dlsn } = await writer.write(text);
    return [stream, `${dlsn}`, text];
  };
  const written = await Promise.all(
    Array.from({ length: 20 }, (_, index) => write(`bundled ${index}`)),
  );
  await writer.close();
  const read = [];
  for await (const { stream, dlsn, text } of texts(url, streams)) read.push([stream, dlsn, text]);
  return { written, read };
};

async function* texts(url, streams) {
  const reader = new MultiStreamReader({ url, streams, follow: false });
  for await (const record of reader)
    yield { stream: record.stream, dlsn: `${record.dlsn}`, text: record.text() };
}
