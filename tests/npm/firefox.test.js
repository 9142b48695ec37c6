// Writer and reader in headless Firefox, against the real proxy: the behaviour that could differ
// from Chromium.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import puppeteer from "puppeteer-core";

import { leaveBehind, leftBehind, PAGE, PATIENT, serve } from "./pages.js";
import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";
import { until } from "./wait.js";

const streams = ["f-1", "f-2", "f-3"];

describe("in Firefox", () => {
  let browser, pages, proxy;
  before(async () => {
    browser = await puppeteer.launch({
      browser: "firefox",
      executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
      headless: true,
      timeout: 60_000,
    });
    pages = await serve({ "/": PAGE });
    proxy = await Proxy.start(["--cors-origin", pages.origin]);
    await proxy.create(...streams);
  });
  after(async () => {
    await browser?.close();
    await pages?.close();
    await proxy?.stop();
  });

  async function openPage(t) {
    t.diagnostic(await browser.version());
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(pages.origin);
    await page.waitForFunction(() => globalThis.loaded);
    return page;
  }

  const options = (more = {}) => ({
    ...NO_HISTORY,
    url: proxy.url,
    streams,
    requestTimeout: 10_000,
    ...more,
  });
  const stored = async () =>
    new Map(await Promise.all(streams.map(async (stream) => [stream, await proxy.stored(stream)])));

  test("records are read back once at their positions, also while a stream stalls", async (t) => {
    const page = await openPage(t);
    const write = (options, count, atOnce) =>
      page.evaluate(
        async (options, count, atOnce) => {
          const writer = new MultiStreamWriter(options);
          const written = [];
          const write = async (index) => {
            const { stream, dlsn } = await writer.write(`${atOnce} ${index}`);
            written.push([stream, String(dlsn), `${atOnce} ${index}`]);
          };
          if (atOnce) await Promise.all(Array.from({ length: count }, (_, index) => write(index)));
          else for (let index = 0; index < count; index++) await write(index);
          await writer.close();
          return { written, hedgesWon: writer.stats().hedgesWon };
        },
        options,
        count,
        atOnce,
      );
    const { written } = await write(options(), 1_000, true);
    const aborted = await proxy.metric("dlog_proxy_http_aborted_total");
    await proxy.stall("f-2");
    const stalled = await write(options(), 30, false);
    await proxy.clear("f-2");
    assert.ok(stalled.hedgesWon >= 9, "every third set was hedged");
    await until(
      "the aborts have arrived",
      async () =>
        (await proxy.metric("dlog_proxy_http_aborted_total")) - aborted >= stalled.hedgesWon,
    );
    const read = await page.evaluate(
      async (options) => {
        const read = [];
        for await (const record of new MultiStreamReader({ ...options, follow: false }))
          read.push([record.stream, String(record.dlsn), record.text()]);
        return read;
      },
      { url: proxy.url, streams },
    );
    const found = await stored();
    const all = [...written, ...stalled.written];
    for (const [stream, dlsn, text] of all) assert.equal(found.get(stream).get(dlsn), text);
    assert.deepEqual(
      new Set(read.map(([, , text]) => text)),
      new Set(all.map(([, , text]) => text)),
    );
    assert.equal(read.length, all.length, "each once");
  });

  test("the error of a server without CORS contains the flag that allows the page", async (t) => {
    const foreign = await Proxy.start();
    t.after(() => foreign.stop());
    const page = await openPage(t);
    const error = await page.evaluate(
      async (options) => {
        const writer = new MultiStreamWriter(options);
        const { name, known, message } = await writer.write("x").catch((error) => error);
        await writer.close();
        return { name, known, message };
      },
      options({ url: foreign.url, requestTimeout: 2_000 }),
    );
    assert.deepEqual([error.name, error.known], ["ForbiddenError", "notWritten"]);
    assert.ok(
      error.message.includes(`start the proxy with --cors-origin ${pages.origin}`),
      error.message,
    );
  });

  test("a partial set is sent when the page is left", async (t) => {
    const page = await openPage(t);
    await page.evaluate(leaveBehind, options(PATIENT));
    await page.goto("about:blank");
    const arrived = async () => leftBehind(await stored());
    await until("all are stored", async () => (await arrived()) >= 50);
    assert.equal(await arrived(), 50);
  });
});
