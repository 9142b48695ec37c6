// The page that the proxy serves: what it shows while a stream stalls, while the proxy is gone, and without faults.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.js";
import { Proxy } from "./proxy.js";
import { until } from "./wait.js";

/** Screenshots are kept here, to be looked at. */
const shots = join(process.env.SCREENSHOTS ?? import.meta.dirname, "page");
mkdirSync(shots, { recursive: true });

describe("the proxy's page", () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  async function open(t, flags = [], options = {}) {
    const proxy = await Proxy.start(flags);
    const page = await browser.newPage({ viewport: { width: 1180, height: 1200 }, ...options });
    const said = [];
    page.on("pageerror", (error) => said.push(error.message));
    // What the policy refuses is told here. That requests fail while the proxy is gone is not the page's fault.
    page.on("console", (message) => {
      if (message.type() === "error" && !/net::ERR|status of 50|status of 404/.test(message.text())) said.push(message.text());
    });
    t.after(async () => {
      await page.close();
      await proxy.stop();
      assert.deepEqual(said, []);
    });
    await page.goto(proxy.url);
    return { proxy, page };
  }

  const state = (page) => page.locator("#state").textContent();
  /** A figure of a writer in milliseconds. */
  async function figure(page, side, title) {
    const text = await page.locator(`#${side} div`).filter({ hasText: title }).locator("dd").textContent();
    return Number.parseFloat(text.replaceAll(",", ""));
  }
  const rate = async (page, stream, side) => Number(await page.locator(`#${stream} .meter.${side} b`).textContent());

  test("writes with both writers, and reads back what they wrote", async (t) => {
    const { proxy, page } = await open(t);
    await until("it writes", async () => (await state(page)) === "Writing");
    await until("records are acknowledged on every stream by both", async () => {
      for (const stream of ["page-1", "page-2", "page-3", "page-4", "page-5"]) {
        if ((await rate(page, stream, "hedged")) === 0 || (await rate(page, stream, "plain")) === 0) return false;
      }
      return true;
    });
    await until("records are read back", async () => (await page.locator("#tail li").count()) === 8);
    const [stream, dlsn, text] = await page.locator("#tail li").first().locator("span").allTextContents();
    assert.match(text, /^record [\d,]+ at \d\d:/);
    assert.equal((await proxy.stored(stream)).get(dlsn), text, "it is where the page says");
    await page.screenshot({ path: join(shots, "writing.png"), fullPage: true });
    await page.getByRole("button", { name: "Pause" }).click();
    await until("nothing is written any more", async () => (await rate(page, "page-1", "hedged")) === 0);
    assert.equal(await state(page), "Paused");
    await page.getByRole("button", { name: "Go on" }).click();
    await until("it writes again", async () => (await rate(page, "page-1", "hedged")) > 0);
  });

  test("shows a stalled stream in the tail of the writer that does not hedge, and not in the other's", async (t) => {
    const { proxy, page } = await open(t);
    await until("it writes", async () => (await figure(page, "plain", "acknowledged").catch(() => 0)) > 10);
    // By the keyboard, as everything on the page.
    await page.getByRole("button", { name: "Stall page-3" }).focus();
    await page.keyboard.press("Enter");
    await until("the page says so", async () => (await state(page)) === "1 of 5 stalled");
    await until("who does not hedge has waited for it", async () => (await figure(page, "plain", "99th")) > 1000);
    await until("the last ten seconds were with the stall", async () => {
      const marked = await page.locator("#page-3[data-stalled=true]").count();
      return marked === 1 && (await figure(page, "plain", "failed")) >= 10;
    });
    const [hedged, plain] = [await figure(page, "hedged", "99th"), await figure(page, "plain", "99th")];
    assert.ok(hedged < plain / 2, `${hedged} ms with hedging, ${plain} ms without`);
    assert.equal(await figure(page, "hedged", "failed"), 0);
    assert.ok((await proxy.metric("dlog_proxy_http_aborted_total")) > 0, "what was given up is aborted at the server");
    await page.screenshot({ path: join(shots, "stalled.png"), fullPage: true });
    await page.emulateMedia({ colorScheme: "dark" });
    await until("the chart is drawn in the dark", async () => (await figure(page, "plain", "99th")) > 0);
    await page.screenshot({ path: join(shots, "stalled-dark.png"), fullPage: true });
    await page.getByRole("button", { name: "Release all" }).click();
    await until("it writes as before", async () => (await state(page)) === "Writing" && (await rate(page, "page-3", "plain")) > 0);
  });

  test("says that the proxy is gone, and goes on when it is back", async (t) => {
    const { proxy, page } = await open(t, [], { viewport: { width: 390, height: 900 } });
    await until("it writes", async () => (await state(page)) === "Writing" && (await rate(page, "page-1", "hedged")) > 0);
    await proxy.kill();
    await until("it says so", async () => (await state(page)) === "No answer");
    assert.match(await page.getByRole("alert").textContent(), /go on by themselves/);
    await page.screenshot({ path: join(shots, "gone.png"), fullPage: true });
    await proxy.restart();
    await until("it writes again", async () => (await state(page)) === "Writing" && (await rate(page, "page-1", "hedged")) > 0);
  });
});
