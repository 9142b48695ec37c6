// The console that every proxy serves at /: its views with 10,000 streams and a million records, its actions, and axe in every state.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.js";
import { Proxy } from "./proxy.js";
import { until } from "./wait.js";

/** Folder of the screenshots, for people to look at. */
const shots = join(process.env.SCREENSHOTS ?? import.meta.dirname, "console");
mkdirSync(shots, { recursive: true });

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const STREAMS = 10_000;
const RECORDS = 1_000_000;
/** Records of a set: a million are 500 requests. */
const SET = 2000;
const LARGE = "metrics/europe/billing";
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

/** Returns a record set, uncompressed: header, and each record behind its length. */
function recordSet(records) {
  const parts = records.map((record) => Buffer.from(record));
  const length = parts.reduce((sum, part) => sum + 4 + part.length, 0);
  const set = Buffer.alloc(16 + length);
  // Kind and codec, count, length, and the same length as it is not compressed.
  [0x1000, parts.length, length, length].forEach((value, index) => set.writeInt32BE(value, index * 4));
  let at = 16;
  for (const part of parts) {
    at = set.writeInt32BE(part.length, at);
    at += part.copy(set, at);
  }
  return set;
}

const post = (proxy, stream, body, type = "application/octet-stream", headers = {}) =>
  fetch(`${proxy.url}/v1/streams/${encodeURIComponent(stream)}/records`, {
    method: "POST",
    headers: { "content-type": type, ...headers },
    body,
  }).then((response) => assert.equal(response.status, 200, stream));

/** Calls `work` for 0 to `count`, 32 at a time. */
async function all(count, work) {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: 32 }, worker));
}

async function fill(proxy) {
  await all(STREAMS - 1, async (index) => {
    const region = ["europe", "asia", "africa"][index % 3];
    const name = `orders/${region}/shop-${String(index).padStart(5, "0")}`;
    // The store creates a thousand streams a second.
    const create = () => fetch(`${proxy.url}/v1/streams/${encodeURIComponent(name)}`, { method: "PUT" });
    await until("it may be created", async () => (await create()).ok);
    if (index % 50 === 0) await post(proxy, name, "x".repeat((index % 997) + 1));
  });
  const line = (index) => JSON.stringify({ invoice: index, amount_cents: (index * 7919) % 100_000, currency: "EUR", state: index % 10 === 0 ? "failed" : "paid" });
  for (let from = 0; from < RECORDS; from += SET) {
    const records = Array.from({ length: SET }, (_, index) => line(from + index));
    await post(proxy, LARGE, recordSet(records), "application/vnd.distributedlog.record-set");
  }
  // What a record should not be able to do to the page that shows it.
  for (const hostile of ['<img src=x onerror="document.title=1">', "\u202Eevil\u202C \u0007 bell", Buffer.from([0, 255, 254, 10, 65])])
    await post(proxy, "hostile", hostile);
}

describe("the console", () => {
  let browser;
  let proxy;
  before(async () => {
    browser = await launch();
    proxy = await Proxy.start();
    await fill(proxy);
  });
  after(async () => {
    await browser?.close();
    await proxy?.stop();
  });

  async function open(t, hash = "", { on = proxy, ...options } = {}) {
    const page = await browser.newPage({ viewport: DESKTOP, ...options });
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" && !/net::ERR|status of (50|40[0134]|429)/.test(message.text())) errors.push(message.text());
    });
    t.after(async () => {
      await page.close();
      assert.deepEqual(errors, []);
    });
    await page.goto(`${on.url}/${hash}`);
    return page;
  }

  /** Takes a picture in light and dark, wide and narrow, and checks each with axe. */
  async function look(page, name) {
    for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: join(shots, `${name}-${size}-${colorScheme}.png`) });
        assert.deepEqual(await violations(page), [], `${name}, ${size}, ${colorScheme}`);
      }
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(beyond <= 0, `${name} is ${beyond} pixels wider than ${viewport.width}`);
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize(DESKTOP);
  }

  async function violations(page) {
    // The page's policy allows no script but its own; the debugger's are not a part of the page.
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 120)} ${failureSummary?.slice(0, 300)}`)}`);
  }

  const place = (page) => page.locator(".place").first();
  const names = (page) => page.locator("tbody th a").allTextContents();

  test("pages, searches and sorts 10,000 streams", async (t) => {
    const page = await open(t);
    await until("the first page is there", async () => /^1–100 of 10,00\d$/.test(await place(page).textContent()));
    await look(page, "streams");
    await page.getByRole("button", { name: "Next" }).click();
    await until("the second page is there", async () => /^101–200 of/.test(await place(page).textContent()));
    await page.getByRole("button", { name: "Previous" }).click();
    await until("the first page is back", async () => /^1–100 of/.test(await place(page).textContent()));
    await page.getByRole("button", { name: "Size" }).click();
    await until("the largest is the first", async () => (await names(page))[0] === LARGE);
    assert.equal(await page.locator("th[data-sort=bytes]").getAttribute("aria-sort"), "descending");
    await page.locator("#search").fill("SHOP-0004");
    await until("ten are found", async () => (await place(page).textContent()) === "1–10 of 10");
    await look(page, "streams-search");
    await page.locator("#search").fill("nothing has this name");
    await page.getByText("No stream has this in its name").waitFor();
    await look(page, "streams-none");
    await page.getByRole("button", { name: "Show all streams" }).click();
    await until("all are back", async () => /of 10,00\d$/.test(await place(page).textContent()));
  });

  test("makes the pictures of the documentation", { skip: !process.env.PICTURES }, async (t) => {
    const page = await open(t, "#/streams?sort=bytes&order=desc", { viewport: { width: 1100, height: 420 } });
    const picture = (name) => page.screenshot({ path: join(process.env.PICTURES, `console-${name}.png`) });
    await until("the largest is the first", async () => (await names(page))[0] === LARGE);
    await picture("streams");
    await page.setViewportSize({ width: 1100, height: 560 });
    await page.goto(`${proxy.url}/#/stream/${encodeURIComponent(LARGE)}?from=start`);
    await page.locator("#form").selectOption("json");
    await page.getByRole("button", { name: "1,0,1", exact: true }).click();
    await picture("stream");
  });

  test("turns pages without stutter", async (t) => {
    const page = await open(t);
    await until("the first page is there", async () => /^1–100/.test(await place(page).textContent()));
    await page.evaluate(() => {
      globalThis.longest = 0;
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
      }).observe({ entryTypes: ["longtask"] });
    });
    const began = performance.now();
    for (let turn = 1; turn <= 20; turn++) {
      await page.getByRole("button", { name: "Next" }).click();
      await until("the page is there", async () => (await place(page).textContent()).startsWith(`${(turn * 100 + 1).toLocaleString("en")}–`));
    }
    const each = (performance.now() - began) / 20;
    const longest = await page.evaluate(() => globalThis.longest);
    t.diagnostic(`${each.toFixed(0)} ms a page, longest task ${longest.toFixed(0)} ms`);
    assert.ok(longest < 200, `a task of ${longest} ms`);
  });

  test("reads a million records from the end, the start, a position, a time and through a filter", async (t) => {
    const page = await open(t, `#/stream/${encodeURIComponent(LARGE)}`);
    const rows = page.locator(".records tbody tr");
    await until("the newest are there", async () => (await rows.count()) === 200);
    assert.match(await rows.first().textContent(), /"invoice":999999/);
    assert.match(await page.locator(".facts").first().textContent(), /1,000,000/);
    await look(page, "stream");
    await page.locator("#start").selectOption("start");
    await until("the oldest are there", async () => /"invoice":0,/.test(await rows.first().textContent()));
    await page.getByRole("button", { name: "Next records" }).click();
    await until("200 more are there", async () => (await rows.count()) === 400);
    assert.match(await rows.last().textContent(), /"invoice":399,/);
    await page.locator("#start").selectOption("at");
    await page.locator("#at").fill("1,250,7");
    await page.keyboard.press("Enter");
    await until("it begins there", async () => /"invoice":500007,/.test(await rows.first().textContent()));
    await page.locator("#at").fill("2026-01-01T00:00:00Z");
    await page.keyboard.press("Enter");
    await until("it begins with the first after it", async () => /"invoice":0,/.test(await rows.first().textContent()));
    await page.locator("#filter").fill('"invoice":123456,');
    await page.locator("#start").selectOption("start");
    await until("one is found", async () => (await rows.count()) === 1 && /123456/.test(await rows.first().textContent()));
    await page.locator("#form").selectOption("json");
    await page.getByRole("button", { name: "1,61,1456" }).click();
    assert.match(await page.locator("pre").textContent(), /\n {2}"invoice": 123456,\n/);
    await look(page, "record-json");
    await page.locator("#form").selectOption("hex");
    assert.match(await page.locator("pre").textContent(), /^000000 {2}7b 22 69/);
    const [saved] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save", exact: true }).click()]);
    assert.match(readFileSync(await saved.path(), "utf8"), /^\{"invoice":123456,/);
    const [shown] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save shown" }).click()]);
    assert.equal(JSON.parse(readFileSync(await shown.path(), "utf8")).dlsn, "1,61,1456");
    await page.locator("summary").click();
    await look(page, "segments");
    await page.locator("#filter").fill("no record has this");
    await page.getByRole("button", { name: "Read", exact: true }).click();
    await until("it says how far it has looked", async () => /200,000 looked at/.test(await place(page).textContent()));
    await page.locator(".empty-title").waitFor();
    await look(page, "records-none");
  });

  test("shows records as they come, the newest on top", async (t) => {
    const page = await open(t, "#/stream/live?from=live");
    // The stream does not exist yet.
    await page.getByText("There is no such stream").waitFor();
    await look(page, "no-stream");
    await post(proxy, "live", "before");
    await page.reload();
    await until("it waits", async () => /^Live/.test(await place(page).textContent()));
    const rows = page.locator(".records tbody tr");
    let written = 0;
    await until("a record is there", async () => {
      await post(proxy, "live", `record ${++written}`);
      return (await rows.count()) > 0;
    });
    await until("the newest is on top", async () => (await rows.first().textContent()).includes(`record ${written}`));
    await look(page, "tail");
    await all(1000, (index) => post(proxy, "live", `more ${index}`));
    await until("500 are kept", async () => (await rows.count()) === 500);
    await page.getByRole("button", { name: "Stop" }).click();
    await until("it has stopped", async () => /^Stopped/.test(await place(page).textContent()));
  });

  test("shows hostile records as text", async (t) => {
    const page = await open(t, "#/stream/hostile");
    const rows = page.locator(".records tbody tr");
    await until("they are there", async () => (await rows.count()) === 3);
    const texts = (await page.locator(".content").allTextContents()).toReversed();
    assert.equal(texts[0], '<img src=x onerror="document.title=1">');
    assert.equal(texts[1], "\\u202eevil\\u202c \\u0007 bell");
    assert.equal(texts[2], "00 ff fe 0a 41");
    assert.equal(await page.locator("img").count(), 0);
    assert.match(await page.title(), /^hostile/);
    for (const button of await page.locator(".open").all()) await button.click();
    await look(page, "hostile");
    // And a name from the address that is no stream's.
    await page.goto(`${proxy.url}/#/stream/${encodeURIComponent("<b>\u202E")}`);
    await page.getByText("The stream cannot be shown").waitFor();
    assert.equal(await page.locator("main b").count(), 0);
  });

  test("shows latencies, health, and the errors of the last hour", async (t) => {
    await proxy.fail("orders-fail", 517);
    const refused = await fetch(`${proxy.url}/v1/streams/orders-fail/records`, { method: "POST", body: "x" });
    assert.equal(refused.status, 429);
    await post(proxy, "live", "again", undefined, { "dlog-attempt": "1" });
    const page = await open(t, "#/latency");
    await until("there are writes", async () => /ms|µs/.test(await page.locator("tbody").first().textContent()));
    await look(page, "latency");
    await page.getByRole("link", { name: "Health" }).click();
    await page.getByText("it took writes").waitFor();
    await look(page, "health");
    await page.getByRole("link", { name: /^Errors/ }).click();
    await page.getByText("OVER_CAPACITY").waitFor();
    await look(page, "errors");
  });

  test("can be used by keyboard alone", async (t) => {
    const page = await open(t);
    await until("the first page is there", async () => /^1–100/.test(await place(page).textContent()));
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "search");
    await page.keyboard.type("shop-00042");
    await until("one is found", async () => (await place(page).textContent()) === "1–1 of 1");
    await until("its link has the focus", async () => {
      await page.keyboard.press("Tab");
      return page.evaluate(() => document.activeElement.matches("tbody a"));
    });
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, "solid", "the focus is seen");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "shop-00042" }).waitFor();
  });

  test("offers what the proxy allows: creates, writes, truncates and deletes", async (t) => {
    const rights = await fetch(`${proxy.url}/v1/access`);
    if (rights.status === 404) return t.skip("this proxy does not say what a client may do");
    const page = await open(t);
    await page.getByRole("button", { name: "New stream" }).click();
    await page.getByLabel("Name").fill("console-made");
    await look(page, "create");
    await page.keyboard.press("Enter");
    await page.getByText("The stream console-made exists now.").waitFor();
    await page.goto(`${proxy.url}/#/stream/console-made`);
    await page.getByText("This stream has no records yet").waitFor();
    await look(page, "stream-empty");
    const rows = page.locator(".records tbody tr");
    const write = async (form, text) => {
      await page.getByRole("button", { name: "Write a record" }).click();
      await page.getByLabel("Written as").selectOption(form);
      await page.getByLabel("Record", { exact: true }).fill(text);
      await page.getByRole("button", { name: "Write", exact: true }).click();
    };
    await write("json", "{");
    await page.getByText("This is not JSON").waitFor();
    await look(page, "write");
    await page.getByLabel("Record", { exact: true }).fill('{"a": 1}');
    await page.getByRole("button", { name: "Write", exact: true }).click();
    await until("it is there", async () => (await rows.count()) === 1);
    await write("hex", "00 ff");
    await until("it is there", async () => (await rows.count()) === 2);
    assert.deepEqual([...(await proxy.stored("console-made")).keys()], ["1,0,0", "1,1,0"]);
    await page.getByRole("button", { name: "Truncate…" }).click();
    const discard = page.getByRole("button", { name: "Discard the records" });
    await page.getByLabel("Before").fill("1,1,0");
    await page.getByLabel("Type the stream's name").fill("console-mad");
    assert.ok(await discard.isDisabled());
    await page.getByLabel("Type the stream's name").fill("console-made");
    await look(page, "truncate");
    await discard.click();
    await until("one is left", async () => (await rows.count()) === 1);
    await page.getByRole("button", { name: "Delete…" }).click();
    await page.keyboard.press("Escape");
    await until("the dialog is gone", async () => (await page.locator("dialog").count()) === 0);
    await page.getByRole("button", { name: "Delete…" }).click();
    await page.getByLabel("Type the stream's name").fill("console-made");
    await look(page, "delete");
    await page.getByRole("button", { name: "Delete the stream" }).click();
    await page.getByText("The stream console-made was deleted.").waitFor();
    const gone = await fetch(`${proxy.url}/v1/streams/console-made`);
    assert.equal(gone.status, 404);
  });

  test("asks for a token, and offers reading alone where no more is allowed", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "dlog-console-"));
    const [file, token] = [join(folder, "token"), "0123456789abcdef"];
    writeFileSync(file, token, { mode: 0o600 });
    const own = await Proxy.start(["--http-token-file", file, "--read-only"], { faults: false });
    t.after(async () => {
      await own.stop();
      rmSync(folder, { recursive: true });
    });
    const page = await open(t, "", { on: own });
    await page.getByRole("heading", { name: "Token" }).waitFor();
    for (const wrong of ["wrong but long enough", "ümlaut-is-not-ascii"]) {
      await page.locator("#token").fill(wrong);
      await page.keyboard.press("Enter");
      await until("it says so", async () => /token/i.test(await page.getByRole("alert").last().textContent()));
    }
    await look(page, "token");
    await page.locator("#token").fill(token);
    await page.keyboard.press("Enter");
    await page.getByText("No streams yet").waitFor();
    assert.equal(await page.getByRole("button", { name: "New stream" }).count(), 0);
    assert.ok(await page.getByText("read only").isVisible());
    await look(page, "read-only-empty");
    assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), []);
    await page.getByRole("button", { name: "Forget token" }).click();
    await page.getByRole("heading", { name: "Token" }).waitFor();
  });

  test("says that the proxy is away, asks less and less, and goes on when it is back", async (t) => {
    const own = await Proxy.start();
    t.after(() => own.stop());
    await post(own, "orders", "a record");
    const page = await open(t, "", { on: own });
    let failures = 0;
    page.on("requestfailed", () => failures++);
    await until("the stream is there", async () => (await names(page)).length === 1);
    await own.kill();
    await page.getByText("The proxy does not answer.").waitFor();
    await look(page, "away");
    const until30 = performance.now() + 30_000;
    await until("half a minute has passed", async () => performance.now() > until30);
    assert.ok(failures <= 12, `${failures} requests failed`);
    t.diagnostic(`${failures} failed requests in 30 s`);
    await own.restart();
    await page.getByRole("button", { name: "Try now" }).click();
    await until("it goes on", async () => !(await page.locator("#away").isVisible()));
    await until("the stream is there", async () => (await names(page)).length === 1);
  });
});
