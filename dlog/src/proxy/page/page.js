// Puts the page together: two writers under the same load, a reader, and the switch that stalls streams.
import { MultiStreamReader, init } from "./web.js";
import { draw } from "./chart.js";
import { Offline, Problem, Proxy } from "./proxy.js";
import { SECONDS } from "./samples.js";
import { Side } from "./side.js";

const STREAMS = ["page-1", "page-2", "page-3", "page-4", "page-5"];
const TICK_MS = 20;
const TAIL_LINES = 8;
/** The load goes on as it should after a hiccup of the page, but what a sleep left out is not made up for. */
const MOST_MADE_UP_MS = 200;

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");

let proxy;
let sides = [];
let running = true;
let stalled = new Set();
const stalledPast = [];
let serial = 0;
let read = 0;
let reader;

async function start() {
  proxy = new Proxy(sessionStorage.getItem("token") ?? undefined);
  try {
    await init(new URL("./distributedlog_bg.wasm", import.meta.url));
    await Promise.all(STREAMS.map((stream) => proxy.create(stream)));
    const faults = await proxy.stalled();
    showRows(faults !== undefined);
    stalled = faults ?? new Set();
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return askForToken(error);
    showState("offline", error instanceof Offline ? "No answer" : "Not possible");
    notice(error instanceof Offline ? "The proxy does not answer. Trying again every two seconds." : error.message);
    setTimeout(start, 2000);
    return;
  }
  notice("");
  $("token").hidden = true;
  sides = ["hedged", "plain"].map((name) => new Side(name, STREAMS, proxy.token));
  $("run").disabled = false;
  tail();
  makeLoad();
  setInterval(everySecond, 1000);
}

function askForToken(error) {
  showState("offline", "Token wanted");
  $("token").hidden = false;
  notice(proxy.token ? error.message : "");
}

function makeLoad() {
  let last = performance.now();
  let owed = 0;
  setInterval(() => {
    const now = performance.now();
    const passed = Math.min(now - last, MOST_MADE_UP_MS);
    last = now;
    if (!running) return;
    owed += (Number($("rate").value) * passed) / 1000;
    const count = Math.floor(owed);
    owed -= count;
    const texts = Array.from({ length: count }, () => `record ${number.format(++serial)} at ${new Date().toISOString().slice(11, 23)}`);
    for (const side of sides) side.write(texts);
  }, TICK_MS);
}

/** Reads everything back, over one connection; the package goes on by itself when that is lost. */
async function tail() {
  reader = new MultiStreamReader({ url: location.origin, token: proxy.token, streams: STREAMS, from: "end", connections: 1 });
  let shown = 0;
  const lines = [];
  try {
    for await (const record of reader) {
      read++;
      lines.unshift([record.stream, `${record.dlsn}`, record.text().slice(0, 80)]);
      lines.length = Math.min(lines.length, TAIL_LINES);
      const now = performance.now();
      if (now - shown < 250) continue;
      shown = now;
      $("tail").replaceChildren(...lines.map(line));
    }
  } catch (error) {
    notice(`Reading has ended: ${error.message}`);
  }
}

function line(texts) {
  const item = document.createElement("li");
  item.append(...texts.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  return item;
}

let checking = false;
let readBefore = 0;

function everySecond() {
  const now = performance.now();
  for (const side of sides) side.samples.tick(now);
  stalledPast.push(stalled.size > 0);
  if (stalledPast.length > SECONDS) stalledPast.shift();
  show();
  if (!checking) check();
}

/** Whether the proxy is there, and whether somebody else stalled a stream. */
async function check() {
  checking = true;
  try {
    stalled = (await proxy.stalled()) ?? new Set();
    notice("");
    if (!running) showState("paused", "Paused");
    else if (stalled.size > 0) showState("stalled", `${stalled.size} of ${STREAMS.length} stalled`);
    else showState("writing", "Writing");
  } catch (error) {
    showState("offline", "No answer");
    notice("The proxy does not answer. Both writers and the reader go on by themselves when it does again.");
  } finally {
    checking = false;
  }
}

function show() {
  const lines = sides.map(({ name, samples }) => ({ name, dashed: name === "plain", values: samples.past.map(({ p99 }) => p99) }));
  // The line without hedging first, so that the other lies above it where both are the same.
  draw($("chart"), lines.toReversed(), stalledPast);
  const said = sides.map((side) => showFigures(side));
  $("chart").setAttribute("aria-label", `99th percentile of the last ten seconds: ${said[0]} with hedging, ${said[1]} without`);
  const most = Math.max(1, ...sides.flatMap(({ samples }) => STREAMS.map((stream) => samples.rate(stream))));
  for (const stream of STREAMS) showRow(stream, most);
  const { copiesDropped } = reader.stats();
  $("read").textContent = `${number.format(read - readBefore)} records/s · ${number.format(copiesDropped)} copies dropped in all`;
  readBefore = read;
  $("release").hidden = stalled.size === 0;
}

function showFigures(side) {
  const { p50, p99, rate } = side.samples.summary();
  const figures = [
    ["99th percentile", ...duration(p99), "lead-figure"],
    ["median", ...duration(p50)],
    ["acknowledged", number.format(Math.round(rate)), "/s"],
    ["failed", number.format(side.samples.failed), ""],
    ["extra requests", side.extra().toFixed(1), "%"],
  ];
  $(side.name).replaceChildren(
    ...figures.map(([title, value, unit, kind]) => {
      const group = document.createElement("div");
      const term = Object.assign(document.createElement("dt"), { textContent: title });
      const data = Object.assign(document.createElement("dd"), { textContent: value, className: kind ?? "" });
      data.append(Object.assign(document.createElement("small"), { textContent: unit }));
      group.append(term, data);
      return group;
    }),
  );
  return duration(p99).join(" ");
}

function duration(ms) {
  if (ms === undefined) return ["–", ""];
  return ms < 10 ? [ms.toFixed(1), "ms"] : [number.format(Math.round(ms)), "ms"];
}

function showRows(canStall) {
  $("faults-off").hidden = canStall;
  $("rows").replaceChildren(
    ...STREAMS.map((stream) => {
      const row = document.createElement("tr");
      row.id = stream;
      const name = Object.assign(document.createElement("th"), { scope: "row", textContent: stream });
      const cells = ["hedged", "plain"].map((side) => {
        const cell = document.createElement("td");
        const meter = Object.assign(document.createElement("div"), { className: `meter ${side}` });
        meter.append(Object.assign(document.createElement("b"), { textContent: "0" }), document.createElement("i"));
        cell.append(meter);
        return cell;
      });
      const word = Object.assign(document.createElement("td"), { className: "word", textContent: "–" });
      const last = document.createElement("td");
      const button = Object.assign(document.createElement("button"), { type: "button", className: "stall", textContent: "Stall", disabled: !canStall });
      button.setAttribute("aria-label", `Stall ${stream}`);
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => toggle([stream], !stalled.has(stream)));
      last.append(button);
      row.append(name, ...cells, word, last);
      return row;
    }),
  );
}

function showRow(stream, most) {
  const row = $(stream);
  const on = stalled.has(stream);
  row.dataset.stalled = `${on}`;
  for (const { name, samples } of sides) {
    const meter = row.querySelector(`.meter.${name}`);
    meter.firstChild.textContent = number.format(samples.rate(stream));
    meter.lastChild.style.width = `${(100 * samples.rate(stream)) / most}%`;
  }
  const healthy = sides[0].isHealthy(stream);
  row.querySelector(".word").textContent = on ? (healthy ? "stalled" : "stalled, left out") : healthy ? "healthy" : "on probation";
  const button = row.querySelector("button");
  button.setAttribute("aria-pressed", `${on}`);
  button.textContent = on ? "Release" : "Stall";
}

async function toggle(streams, on) {
  try {
    await Promise.all(streams.map((stream) => proxy.stall(stream, on)));
    for (const stream of streams) on ? stalled.add(stream) : stalled.delete(stream);
    if (sides.length > 0) show();
  } catch (error) {
    notice(error.message);
  }
}

function showState(state, text) {
  const pill = $("state");
  if (pill.textContent !== text) pill.textContent = text;
  pill.dataset.state = state;
}

function notice(text) {
  const place = $("notice");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

$("run").addEventListener("click", () => {
  running = !running;
  $("run").textContent = running ? "Pause" : "Go on";
  $("run").setAttribute("aria-pressed", `${running}`);
});
$("release").addEventListener("click", () => toggle([...stalled], false));
$("token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token-text").value.trim());
  start();
});
window.addEventListener("resize", () => sides.length > 0 && show());
start();
