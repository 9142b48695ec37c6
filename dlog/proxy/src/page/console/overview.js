// What the proxy says about itself: latencies and repetitions, health and disk, proxies, errors.
import { chart } from "./chart.js";
import { NONE, ago, bytes, count, h, micros, perSecond, printable, span, stamp } from "./dom.js";

const rate = (number) => `${perSecond(number)}/s`;
const facts = (...pairs) => h("dl", { class: "facts" }, pairs.map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value))));
const section = (title, ...content) => h("section", {}, h("h2", {}, title), ...content);

/** A table whose first column are the names of its rows. The frame scrolls, also by keyboard. */
function table(caption, heads, rows, kinds = []) {
  const cells = (row) => row.map((cell, at) => h(at === 0 ? "th" : "td", { class: kinds[at], scope: at === 0 ? "row" : null }, cell));
  return h(
    "div",
    { class: "frame", role: "region", "aria-label": caption, tabindex: "0" },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head, at) => h("th", { scope: "col", class: kinds[at] }, head)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, cells(row)))),
    ),
  );
}

/** A proxy without a shard has the number −1. */
const shardOf = (shard) => (shard < 0 ? "none" : `${shard}`);

const NUMBER = ["", ...Array(8).fill("number")];

export function latency(overview) {
  const { writes, history, requests } = overview;
  const of = (name) => history.map((point) => point[name]);
  const row = (title, it) => [title, count(it.written), count(it.failed), ...["p50_us", "p90_us", "p99_us", "p999_us"].map((name) => micros(it[name]))];
  const all = writes.first.written + writes.repeated.written;
  const share = all === 0 ? NONE : `${((100 * writes.repeated.written) / all).toFixed(1)} %`;
  return [
    h("h1", {}, "Latency"),
    section(
      `Writes of the last ${writes.seconds < 45 ? span(writes.seconds * 1000) : "minute"}`,
      table(
        "Latencies of writes by attempt",
        ["attempt", "written", "failed", "median", "90 %", "99 %", "99.9 %"],
        [row("first", writes.first), row("repeated", writes.repeated)],
        NUMBER,
      ),
      h("p", { class: "note" }, "From the last byte of a request to its answer, in this proxy. A repeated attempt is a hedge or a retry: its client had sent the same records to another stream before. ", h("a", { href: "/demo" }, "The demonstration"), " shows hedging at work."),
    ),
    h(
      "div",
      { class: "charts" },
      chart("Latency", [{ name: "99 %", values: of("p99_us"), kind: "b" }, { name: "median", values: of("p50_us"), kind: "a" }], micros),
      chart("Writes", [{ name: "", values: of("writes_per_s"), kind: "a" }], rate),
      chart("Bytes", [{ name: "", values: of("bytes_per_s"), kind: "a" }], (number) => `${bytes(number)}/s`),
      chart("Repeated attempts", [{ name: "", values: of("repeated_per_s"), kind: "b" }], rate),
    ),
    section(
      "Repetitions",
      facts(
        ["share of the last minute", share],
        ["repeated, since the start", count(requests.repeated)],
        ["discarded before they began", count(requests.discarded)],
        ["clients that went away", count(requests.aborted)],
        ["duplicates answered, not stored", count(requests.duplicates_answered)],
      ),
    ),
    section(
      "Under way",
      facts(
        ["requests", count(requests.unanswered)],
        ["their bytes", bytes(requests.unanswered_bytes)],
        ["open connections", count(requests.connections)],
        ["readers over HTTP", count(requests.readers)],
      ),
    ),
  ];
}

export function health(overview) {
  const { checks, disk, proxy, streams, proxies } = overview;
  const state = overview.ready ? "Ready" : "Not ready";
  return [
    h("h1", {}, "Health ", h("span", { class: `pill ${overview.ready ? "good" : "bad"}` }, state)),
    section(
      "Checks",
      table(
        "Checks of readiness",
        ["check", "state", "detail"],
        checks.map(({ name, ok, detail }) => [name, h("span", { class: ok ? "good" : "bad" }, ok ? "✓ ok" : "✗ fails"), printable(detail)]),
      ),
    ),
    section(
      "Proxy",
      facts(
        ["address", printable(proxy.address)],
        ["shard", shardOf(proxy.shard)],
        ["failure domain", printable(overview.failure_domain ?? "not said")],
        ["version", overview.version],
        ["runs for", span(overview.uptime_s * 1000)],
        ["streams owned", count(streams.owned)],
        ["leases lost", count(overview.requests.leases_lost)],
        ["written", bytes(overview.requests.written_bytes)],
      ),
    ),
    section("Disk", disk ? diskOf(disk) : h("p", { class: "note" }, "The store is in another process or on other machines: see its own metrics.")),
    section("Proxies", proxies ? proxiesOf(proxies, proxy) : h("p", { class: "note" }, "There are too many streams to ask this store about the owner of each.")),
  ];
}

function diskOf({ size_bytes: size, free_bytes: free, live_bytes: live, dead_bytes: dead }) {
  const others = Math.max(0, size - free - live - dead);
  const parts = [
    ["records", live, "a"],
    ["to be compacted", dead, "b"],
    ["other files", others, "c"],
    ["free", free, "d"],
  ];
  const bar = h("div", { class: "stack", "aria-hidden": "true" });
  for (const [, amount, kind] of parts) {
    const part = h("span", { class: kind });
    part.style.flexGrow = `${amount / Math.max(1, size)}`;
    bar.append(part);
  }
  const legend = parts.map(([name, amount, kind]) => h("div", {}, h("dt", { class: `swatch ${kind}` }, name), h("dd", {}, bytes(amount))));
  return h("div", {}, bar, h("dl", { class: "facts" }, legend, h("div", {}, h("dt", {}, "size of the file system"), h("dd", {}, bytes(size)))));
}

function proxiesOf(proxies, own) {
  if (proxies.length === 0) return h("p", { class: "note" }, "No stream has an owner: a proxy becomes the owner of a stream with the first write.");
  const rows = proxies.map(({ address, shard, streams }) => {
    const isThis = address === own.address && shard === own.shard;
    return [printable(address), shardOf(shard), count(streams), isThis ? "this proxy" : ""];
  });
  return table("Owners of streams", ["address", "shard", "streams", "note"], rows, ["", "number", "number", ""]);
}

export function errors(overview) {
  const heading = h("h1", {}, "Errors of the last hour");
  if (overview.errors.length === 0) {
    return [heading, h("div", { class: "empty" }, h("p", { class: "empty-title" }, "No errors"), h("p", {}, "Nothing was refused and nothing failed in this proxy in the last hour."))];
  }
  const rows = overview.errors.map(({ kind, count: number, last_ms: last, message }) => [
    h("code", {}, kind),
    count(number),
    h("time", { title: stamp(last) }, ago(last, overview.now_ms)),
    h("span", { class: "message" }, printable(message) || NONE),
  ]);
  return [
    heading,
    table("Errors by kind", ["kind", "count", "newest", "message of the newest"], rows, ["", "number", "nowrap", "wide"]),
    h("p", { class: "note" }, "Answers of this proxy over thrift and HTTP that were not successes, apart from redirects to the owner of a stream."),
  ];
}
