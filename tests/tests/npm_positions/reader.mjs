// Reads some records by the npm package's reader, from a position on. Prints each record as a line
// of JSON, and then the position behind them.
import { readFileSync } from "node:fs";

const [folder, url, streams, count, position] = process.argv.slice(2);
const { init, MultiStreamReader } = await import(`${folder}/web.js`);
await init(readFileSync(`${folder}/distributedlog_bg.wasm`));
const reader = new MultiStreamReader({
  url,
  streams: streams.split(","),
  ...(position === "" ? {} : { position: JSON.parse(position) }),
});
for (let taken = 0; taken < Number(count); taken++) {
  const { value } = await reader.next();
  console.log(JSON.stringify(value.text()));
}
console.log(JSON.stringify(reader.position()));
await reader.return();
