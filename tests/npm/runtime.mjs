// Program that tests/npm/runtimes.test.js runs in Deno, Bun and Node: writes, hedges around a
// stalled stream, reads, fails, and ends by itself. Prints its results as one line of JSON.
import { MultiStreamReader, MultiStreamWriter } from "distributedlog";

const { DLOG_URL: url, DLOG_GONE: gone, DLOG_STREAMS: names } = process.env;
const streams = names.split(",");

const writer = new MultiStreamWriter({ url, streams, requestTimeout: 20_000 });
const write = async (text) => {
  const { stream, dlsn } = await writer.write(text);
  return [stream, `${dlsn}`, text];
};
const together = await Promise.all(
  Array.from({ length: 50 }, (_, index) => write(`together ${index}`)),
);
await fetch(`${url}/faults/${streams[1]}/stall`, { method: "PUT" });
const alone = [];
for (let index = 0; index < 2 * streams.length; index++) alone.push(await write(`alone ${index}`));
const { hedgesWon } = writer.stats();
await fetch(`${url}/faults/${streams[1]}`, { method: "DELETE" });

const read = [];
for await (const record of new MultiStreamReader({ url, streams, follow: false })) {
  read.push([record.stream, `${record.dlsn}`, record.text()]);
}
const unreachable = new MultiStreamWriter({ url: gone, streams, rounds: { limit: 1 } });
const { code, known } = await unreachable.write("x").then(
  () => ({}),
  (error) => error,
);
// Neither writer is closed: without a pending write they keep no process alive.
console.log(JSON.stringify({ written: [...together, ...alone], hedgesWon, read, code, known }));
