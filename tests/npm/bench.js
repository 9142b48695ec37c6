// `wasm/bench`: figures for docs/benchmarks.md.
import { byFetch, byWriter, memory } from "./load.js";
import { Proxy } from "./proxy.js";

const streams = ["n-1", "n-2", "n-3", "n-4", "n-5"];
const proxy = await Proxy.start();
await proxy.create(...streams);
const show = (what, figure) => console.log(`${what.padEnd(72)} ${figure}`);
const rounded = (number) => Math.round(number).toLocaleString("en");

await byFetch(proxy.url, streams, 2_000, 64);
await byWriter(proxy.url, streams, 20_000, 1_000);
for (const atATime of [6, 64, 1_000]) {
  const fetched = await byFetch(proxy.url, streams, 20_000, atATime);
  show(`records/s, a request for each, ${atATime} at a time`, rounded(fetched));
}
for (const atATime of [64, 1_000, 8_000]) {
  const { perSecond, stats } = await byWriter(proxy.url, streams, 400_000, atATime);
  show(
    `records/s, through the writer, ${atATime} at a time`,
    `${rounded(perSecond)} (${rounded(stats.records / stats.sets)} a set, ${stats.hedgesSent} hedges)`,
  );
}
await byWriter(proxy.url, streams, 1_000_000, 1_000, {
  every: 250_000,
  look: async (written) => {
    const { used, rss } = await memory();
    show(
      `MB in use (resident) after ${rounded(written)} records`,
      `${(used / 1e6).toFixed(1)} (${(rss / 1e6).toFixed(0)})`,
    );
  },
});
await proxy.stop();
