// Draws hedging.svg: latencies of writes while one of five streams is stalled, with and without hedging.
//
//   cargo build --release -p dlog && node docs/images/hedging.mjs [target/release/dlog]
//
// Each run starts a proxy with a store of its own, writes a record every 25 ms through `dlog console-multi-writer`, stalls a stream in
// the middle third, and draws what the command reported of each record and its attempts. Nothing is made up.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const dlog = process.argv[2] ?? "target/release/dlog";
const streams = ["orders-1", "orders-2", "orders-3", "orders-4", "orders-5"];
const stalled = streams[2];
const records = 240;
const intervalMs = 25;
const requestTimeoutMs = 1000;

/** Starts a proxy, and returns it with its addresses once it serves. */
async function startProxy(folder) {
    const proxy = spawn(dlog, ["proxy", "--data", folder, "-p", "0", "--http-port", "0", "--faults"], { stdio: ["ignore", "pipe", "ignore"] });
    const found = {};
    for await (const line of createInterface({ input: proxy.stdout })) {
        found.thrift ??= /^listening on (.*)/.exec(line)?.[1];
        found.http ??= /^HTTP on (.*)/.exec(line)?.[1];
        if (found.thrift && found.http) break;
    }
    return { proxy, ...found };
}

/** Writes the records with these flags, and returns the report of each. */
async function run(flags) {
    const folder = mkdtempSync(join(tmpdir(), "hedging-"));
    const { proxy, thrift, http } = await startProxy(join(folder, "store"));
    try {
        const writer = spawn(dlog, ["console-multi-writer", "--format", "json", "--attempts", "--seed", "7", ...flags, `inet!${thrift}`, streams.join(",")], {
            stdio: ["pipe", "pipe", "ignore"],
        });
        const reports = [];
        const reading = (async () => {
            for await (const line of createInterface({ input: writer.stdout })) {
                const report = JSON.parse(line);
                // A record that failed took as long as it may.
                reports.push({ ...report, took_us: report.took_us ?? requestTimeoutMs * 1000 });
            }
        })();
        // Every stream is created and owned before the first record that counts.
        for (const stream of streams) await fetch(`${http}/v1/streams/${stream}/records`, { method: "POST", headers: { "content-type": "text/plain" }, body: "first" });
        for (let index = 0; index < records; index += 1) {
            if (index === records / 3) await fetch(`${http}/faults/${stalled}/stall`, { method: "PUT" });
            if (index === (records * 2) / 3) await fetch(`${http}/faults/${stalled}`, { method: "DELETE" });
            writer.stdin.write(`record ${index}\n`);
            await sleep(intervalMs);
        }
        writer.stdin.end();
        await reading;
        return reports.sort((one, other) => one.line - other.line);
    } finally {
        proxy.kill("SIGKILL");
        rmSync(folder, { recursive: true, force: true });
    }
}

const width = 760, panel = 150, left = 64, right = 16, top = 44, gap = 58;
const [floorUs, ceilingUs] = [500, 2_000_000];
const x = (line) => left + ((line - 0.5) / records) * (width - left - right);
const y = (us, base) => base + panel - (Math.log(Math.min(Math.max(us, floorUs), ceilingUs) / floorUs) / Math.log(ceilingUs / floorUs)) * panel;

function percentile(reports, share) {
    const sorted = reports.map((report) => report.took_us).sort((one, other) => one - other);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

const text = (us) => (us >= 1_000_000 ? `${(us / 1_000_000).toFixed(1)} s` : us >= 10_000 ? `${Math.round(us / 1000)} ms` : `${(us / 1000).toFixed(1)} ms`);

function drawPanel(title, reports, base) {
    const during = reports.slice(records / 3, (records * 2) / 3);
    const parts = [
        `<rect class="stall" x="${x(records / 3 + 0.5)}" y="${base}" width="${x((records * 2) / 3 + 0.5) - x(records / 3 + 0.5)}" height="${panel}"/>`,
        `<text class="title" x="${left}" y="${base - 10}">${title}</text>`,
        `<text class="figure" x="${width - right}" y="${base - 10}" text-anchor="end">while it is stalled: median ${text(percentile(during, 0.5))}, slowest ${text(percentile(during, 1))}, ${during.filter((report) => report.error).length} failed</text>`,
    ];
    for (const us of [1000, 10_000, 100_000, 1_000_000]) {
        parts.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${y(us, base)}" y2="${y(us, base)}"/>`);
        parts.push(`<text class="axis" x="${left - 8}" y="${y(us, base) + 4}" text-anchor="end">${us >= 1_000_000 ? "1 s" : `${us / 1000} ms`}</text>`);
    }
    for (const report of reports) {
        const kind = report.error ? "failed" : report.attempts.length > 1 ? "hedged" : "plain";
        const radius = kind === "plain" ? 1.8 : 2.8;
        parts.push(`<line class="${kind}" x1="${x(report.line)}" x2="${x(report.line)}" y1="${base + panel}" y2="${y(report.took_us, base)}"/>`);
        parts.push(`<circle class="${kind}" cx="${x(report.line)}" cy="${y(report.took_us, base)}" r="${radius}"/>`);
    }
    return parts.join("\n");
}

const timeouts = ["--request-timeout", `${requestTimeoutMs}ms`, "--first-speculative-timeout", "20ms", "--max-speculative-timeout", "200ms"];
const without = await run(["--no-hedging", ...timeouts]);
const withIt = await run(["--recommended", ...timeouts]);
const height = top + 2 * panel + gap + 60;
const legend = [["plain", "one attempt", left + 4], ["hedged", "a second stream was asked too", left + 110], ["failed", "failed after 1 s", left + 320]];
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-labelledby="t">
<title id="t">Latency of ${records} writes to five streams, of which one is stalled in the middle third, without and with hedging</title>
<style>
    .paper { fill: #fff } text { fill: #24292f } .axis, .figure { fill: #57606a } .title { font-weight: 600; font-size: 13px }
    .grid { stroke: #d0d7de; stroke-width: 1 } .stall { fill: #eaeef2 }
    line.plain { stroke: #0969da; opacity: .25 } circle.plain { fill: #0969da }
    line.hedged { stroke: #bf8700; opacity: .5 } circle.hedged { fill: #bf8700 }
    line.failed { stroke: #cf222e; opacity: .5 } circle.failed { fill: #cf222e }
    @media (prefers-color-scheme: dark) {
        .paper { fill: #0d1117 } text { fill: #e6edf3 } .axis, .figure { fill: #9198a1 } .grid { stroke: #30363d } .stall { fill: #1c2128 }
        line.plain { stroke: #58a6ff } circle.plain { fill: #58a6ff } line.hedged { stroke: #d29922 } circle.hedged { fill: #d29922 }
        line.failed { stroke: #f85149 } circle.failed { fill: #f85149 }
    }
</style>
<rect class="paper" width="${width}" height="${height}" rx="6"/>
${drawPanel("Without hedging", without, top)}
${drawPanel("With hedging", withIt, top + panel + gap)}
<text class="axis" x="${left}" y="${height - 34}">a record every ${intervalMs} ms; the grey third: ${stalled} does not answer</text>
${legend.map(([kind, label, at]) => `<circle class="${kind}" cx="${at}" cy="${height - 18}" r="3"/><text class="axis" x="${at + 8}" y="${height - 14}">${label}</text>`).join("\n")}
</svg>
`;
writeFileSync(new URL("hedging.svg", import.meta.url), svg);
for (const [name, reports] of [["without", without], ["with", withIt]]) console.log(name, text(percentile(reports, 0.5)), text(percentile(reports, 1)), reports.filter((report) => report.error).length, "failed");
