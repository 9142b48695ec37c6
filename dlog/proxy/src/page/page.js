// The page: two writers under the same load, a reader, and buttons that stall streams.
import { init } from "./web.js";
import { draw } from "./chart.js";
import { Offline, Problem, Proxy } from "./proxy.js";
import { SECONDS } from "./samples.js";
import { Side } from "./side.js";
import { Streams } from "./streams.js";
import { Tail } from "./tail.js";

const STREAMS = ["page-1", "page-2", "page-3", "page-4", "page-5"];
/**
 * Time between two ticks that write. At 100 records/s each is one record: of two, the second would wait for the first one's answer, and half of the
 * latencies would be those of two requests.
 */
const TICK_MS = 10;
/** Longest gap between two ticks whose records are written late, in milliseconds. Of a longer gap, as after a sleep, the rest is not written. */
const MAX_GAP_MS = 200;

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");

/** Time after which a hidden page stops writing for good, until it is told to go on. In milliseconds. */
const MAX_HIDDEN_MS = 600_000;

let proxy;
let sides = [];
/** True while the page writes. It begins by itself only where the proxy was started for demonstrations. */
let running = document.documentElement.hasAttribute("data-demo");
/** The stalled streams; `undefined` while the proxy does not answer. */
let stalled;
let canStall = false;
/** One value a second, the newest last: true if a stream was stalled. */
const stallHistory = [];
let serial = 0;
let hiddenSince;
/** The error that ended reading, or "". */
let readingEnded = "";

const streams = new Streams($("rows"), STREAMS, (stream, on) => toggle([stream], on));
const tail = new Tail($("tail"), STREAMS);

async function start() {
  proxy = new Proxy(sessionStorage.getItem("token") ?? undefined);
  $("run").disabled = true;
  try {
    // Nothing is written, and no stream created, before somebody wants it.
    if (running) {
      await init(new URL("./distributedlog_bg.wasm", import.meta.url));
      await Promise.all(STREAMS.map((stream) => proxy.create(stream)));
    }
    stalled = await proxy.stalled();
    canStall = stalled !== undefined;
    stalled ??= new Set();
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return askForToken(error);
    const offline = error instanceof Offline;
    showState("offline", offline ? "No answer" : "Cannot write");
    notice(`${error.message} Trying again every two seconds.`);
    setTimeout(start, 2000);
    return;
  }
  notice("");
  $("token").hidden = true;
  $("faults-off").hidden = canStall;
  $("run").disabled = false;
  $("run").textContent = running ? "Pause" : "Start";
  $("idle").hidden = running;
  if (!running) return showState("paused", "Not started");
  streams.allowStalls(canStall);
  sides = ["hedged", "plain"].map((name) => new Side(name, STREAMS, proxy.token));
  if (!document.hidden) read();
  makeLoad();
  setInterval(everySecond, 1000);
  setInterval(checkIfLate, LATE_MS);
}

function askForToken(error) {
  showState("offline", "Token needed");
  $("token").hidden = false;
  $("token-text").focus();
  notice(proxy.token ? error.message : "");
}

function makeLoad() {
  let last = performance.now();
  let owed = 0;
  setInterval(() => {
    const now = performance.now();
    const passed = Math.min(now - last, MAX_GAP_MS);
    last = now;
    if (!running || document.hidden || unanswered > 0) return;
    owed += (Number($("rate").value) * passed) / 1000;
    const count = Math.floor(owed);
    owed -= count;
    const texts = Array.from({ length: count }, () => `record ${number.format(++serial)} at ${new Date().toISOString().slice(11, 23)}`);
    for (const side of sides) side.write(texts);
  }, TICK_MS);
}

/** Reads all streams, over one connection. */
async function read() {
  try {
    await tail.follow({ url: location.origin, token: proxy.token, connections: 1 });
  } catch (error) {
    readingEnded = `Reading has ended: ${error.message}`;
    notice(readingEnded);
  }
}

/** Pauses the page while it is hidden: a page in another tab shares the six connections that the browser opens to this server. */
function changeVisibility() {
  if (sides.length === 0) return;
  if (document.hidden) {
    hiddenSince ??= performance.now();
    tail.pause();
    return;
  }
  if (hiddenSince === undefined) return;
  const seconds = Math.round((performance.now() - hiddenSince) / 1000);
  hiddenSince = undefined;
  if (seconds * 1000 >= MAX_HIDDEN_MS) pause(true);
  for (const { samples } of sides) samples.skip(seconds);
  stallHistory.push(...Array(Math.min(seconds, SECONDS)).fill(false));
  if (unanswered === 0) read();
}

let checking = false;
/**
 * Number of checks in a row that the proxy has not answered. While there is one, nothing is written or read, and checks become rare: a browser
 * writes each failed request into its console.
 */
let unanswered = 0;
let nextCheck = 0;
/** Longest time between two checks, in milliseconds. */
const MAX_CHECK_MS = 8000;
/** Age of a record without an answer at which the page checks at once, and the time between two such checks, in milliseconds. */
const LATE_MS = 200;

/** Checks early if records wait for their answers: their writers repeat requests to a proxy that is away. */
function checkIfLate() {
  if (document.hidden || checking || unanswered > 0) return;
  const oldest = sides.map(({ samples }) => samples.waiting.values().next().value?.at ?? Infinity);
  if (performance.now() - Math.min(...oldest) > LATE_MS) check();
}

function everySecond() {
  if (document.hidden) return;
  const now = performance.now();
  for (const side of sides) side.samples.tick(now);
  stallHistory.push(stalled !== undefined && stalled.size > 0);
  stallHistory.splice(0, stallHistory.length - SECONDS);
  show();
  if (!checking && now >= nextCheck) check();
}

/** Checks that the proxy answers, and which streams are stalled, also by other clients. */
async function check() {
  checking = true;
  try {
    if (canStall) stalled = (await proxy.stalled()) ?? new Set();
    else {
      await proxy.alive();
      stalled = new Set();
    }
    if (unanswered > 0) {
      unanswered = 0;
      for (const side of sides) side.resume();
      if (!document.hidden) read();
    }
    notice(readingEnded);
    if (!running) showState("paused", "Paused");
    else if (stalled.size > 0) showState("stalled", `${stalled.size} of ${STREAMS.length} stalled`);
    else showState("writing", "Writing");
  } catch {
    stalled = undefined;
    unanswered++;
    nextCheck = performance.now() + Math.min(500 * 2 ** unanswered, MAX_CHECK_MS);
    if (unanswered === 1) {
      tail.pause();
      for (const side of sides) side.pause();
    }
    showState("offline", "No answer");
    notice("The proxy does not answer. Both writers and the reader go on by themselves when it answers again.");
  } finally {
    checking = false;
  }
}

function show() {
  const lines = sides.map(({ name, samples }) => ({ name, dashed: name === "plain", values: samples.past.map(({ p99 }) => p99) }));
  // The line without hedging first, so that the other lies above it where both are the same.
  draw($("chart"), lines.toReversed(), stallHistory);
  const said = ["hedged", "plain"].map((name) => showFigures(name, sides.find((side) => side.name === name)));
  if (sides.length === 0) return;
  $("chart").setAttribute("aria-label", `In the last ten seconds 99 % of writes took less than ${said[0]} with hedging, ${said[1]} without`);
  streams.show(sides, stalled);
  $("read").textContent = tail.summary();
  $("release").hidden = !stalled?.size;
}

function showFigures(name, side) {
  const { p50, p99, rate } = side?.samples.summary() ?? {};
  const figures = [
    ["99 % were faster", ...duration(p99), "lead-figure"],
    ["median", ...duration(p50)],
    ["acknowledged", rate === undefined ? "–" : number.format(Math.round(rate)), "/s"],
    ["failed", side ? number.format(side.samples.failed) : "–", ""],
    ["extra requests", side ? side.extra().toFixed(1) : "–", "%"],
  ];
  $(name).replaceChildren(
    ...figures.map(([title, value, unit, kind]) => {
      const group = document.createElement("div");
      const term = Object.assign(document.createElement("dt"), { textContent: title });
      const data = Object.assign(document.createElement("dd"), { textContent: value, className: kind ?? "" });
      if (value !== "–") data.append(Object.assign(document.createElement("small"), { textContent: unit }));
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

async function toggle(names, on) {
  try {
    await Promise.all(names.map((name) => proxy.stall(name, on)));
    stalled ??= new Set();
    for (const name of names) on ? stalled.add(name) : stalled.delete(name);
    show();
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

function pause(paused) {
  running = !paused;
  $("run").textContent = paused ? "Resume" : "Pause";
}

$("run").addEventListener("click", () => {
  if (sides.length > 0) return pause(running);
  running = true;
  start();
});
$("release").addEventListener("click", () => toggle([...(stalled ?? [])], false));
$("token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token-text").value.trim());
  start();
});
document.addEventListener("visibilitychange", changeVisibility);
window.addEventListener("resize", show);
show();
start();
