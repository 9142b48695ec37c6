// Measures the figures of docs/benchmarks.md. Run by `wasm/bench`.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { byFetch, byWriter, memory } from "./load.js";
import { Proxy } from "./proxy.js";

const streams = ["n-1", "n-2", "n-3", "n-4", "n-5"];
const proxy = await Proxy.start();
await proxy.create(...streams);
const show = (what, figure) => console.log(`${what.padEnd(72)} ${figure}`);
const rounded = (number) => Math.round(number).toLocaleString("en");

await byFetch(proxy.url, streams, 2_000, 64);
await byWriter(proxy.url, streams, 20_000, 1_000);
for (const concurrency of [6, 64, 1_000]) {
  const fetched = await byFetch(proxy.url, streams, 20_000, concurrency);
  show(`records/s, a request for each, ${concurrency} at a time`, rounded(fetched));
}
for (const concurrency of [64, 1_000, 8_000]) {
  const { perSecond, stats } = await byWriter(proxy.url, streams, 400_000, concurrency);
  const setSize = stats.records / stats.sets;
  show(
    `records/s, through the writer, ${concurrency} at a time`,
    `${rounded(perSecond)} (${rounded(setSize)} a set, ${stats.hedgesSent} hedges)`,
  );
}
await byWriter(proxy.url, streams, 1_000_000, 1_000, {
  every: 250_000,
  inspect: async (written) => {
    const { used, rss } = await memory();
    show(
      `MB in use (resident) after ${rounded(written)} records`,
      `${(used / 1e6).toFixed(1)} (${(rss / 1e6).toFixed(0)})`,
    );
  },
});
await proxy.stop();

// Each shape in a process of its own, to a store of its own.
const COUNT = Number(process.env.COUNT ?? 5_000_000);
for (const shape of ["await", "submit", "batch", "writeAll", "stream"]) {
  const own = await Proxy.start([], { faults: false });
  await own.create(...streams);
  const words = ["shapes.js", own.url, shape, String(COUNT)];
  const { stdout } = await promisify(execFile)(process.execPath, words, { cwd: import.meta.dirname });
  const { perSecond, perCpuSecond, peak, recordsFailed } = JSON.parse(stdout);
  show(
    `records/s of ${rounded(COUNT)}, ${shape}`,
    `${rounded(perSecond)} (${rounded(perCpuSecond)} a second of CPU time, ${rounded(peak / 1e6)} MB resident at most, ${recordsFailed} failed)`,
  );
  await own.stop();
}
