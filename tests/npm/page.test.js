// The page that the proxy serves: its display while a stream stalls, while the proxy is down, and
// without faults.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.js";
import { Proxy } from "./proxy.js";
import { until } from "./wait.js";

/** Folder of the screenshots, for people to look at. */
const shots = join(process.env.SCREENSHOTS ?? import.meta.dirname, "page");
mkdirSync(shots, { recursive: true });

describe("the proxy's page", () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  async function open(t, flags = [], { faults = true, demo = true, ...options } = {}) {
    const proxy = await Proxy.start([...(demo ? ["--demo"] : []), ...flags], { faults });
    const page = await browser.newPage({ viewport: { width: 1180, height: 1200 }, ...options });
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    // Violations of the content security policy are reported here. Failed requests are not the
    // page's fault.
    page.on("console", (message) => {
      if (message.type() === "error" && !/net::ERR|status of (50|40[134])/.test(message.text()))
        errors.push(message.text());
    });
    t.after(async () => {
      await page.close();
      await proxy.stop();
      assert.deepEqual(errors, []);
    });
    await page.goto(`${proxy.url}/demo`);
    return { proxy, page };
  }

  /** Returns the elements that reach beyond the right edge of the page or of their card. */
  const beyondTheEdge = (page) =>
    page.evaluate(() =>
      [...document.querySelectorAll(".card, .card *")]
        .filter((it) => !it.classList.contains("unseen"))
        .filter(
          (it) =>
            it.getBoundingClientRect().right >
            Math.min(innerWidth, it.closest(".card").getBoundingClientRect().right) + 0.5,
        )
        .map((it) => it.outerHTML.slice(0, 80)),
    );

  const state = (page) => page.locator("#state").textContent();
  /** Returns a figure of a writer. */
  async function figure(page, side, title) {
    const text = await page
      .locator(`#${side} div`)
      .filter({ hasText: title })
      .locator("dd")
      .textContent();
    return Number.parseFloat(text.replaceAll(",", ""));
  }
  const rate = async (page, stream, side) =>
    Number(await page.locator(`#${stream} .meter.${side} b`).textContent());

  test("writes with both writers and reads their records back", async (t) => {
    const { proxy, page } = await open(t);
    await until("it writes", async () => (await state(page)) === "Writing");
    await until("records are acknowledged on every stream by both", async () => {
      for (const stream of ["page-1", "page-2", "page-3", "page-4", "page-5"]) {
        if ((await rate(page, stream, "hedged")) === 0 || (await rate(page, stream, "plain")) === 0)
          return false;
      }
      return true;
    });
    await until("records of all five are read back", async () => {
      const rows = page.locator("#tail tr");
      return (
        (await rows.count()) === 5 &&
        (await rows.filter({ hasText: /record [\d,]+ at \d\d:/ }).count()) === 5
      );
    });
    await page.screenshot({ path: join(shots, "writing.png"), fullPage: true });
    await page.getByRole("button", { name: "Pause" }).click();
    await until(
      "nothing is written any more",
      async () => (await rate(page, "page-1", "hedged")) === 0,
    );
    assert.equal(await state(page), "Paused");
    for (const row of await page.locator("#tail tr").all()) {
      const [stream, text, dlsn] = await row.locator("th, td").allTextContents();
      assert.equal(
        (await proxy.stored(stream)).get(dlsn),
        text,
        "the record is at the position that the page shows",
      );
    }
    await page.getByRole("button", { name: "Resume" }).click();
    await until("it writes again", async () => (await rate(page, "page-1", "hedged")) > 0);
  });

  test("a stalled stream raises the 99th percentile only of the plain writer", async (t) => {
    const { proxy, page } = await open(t);
    await until(
      "it writes",
      async () => (await figure(page, "plain", "acknowledged").catch(() => 0)) > 10,
    );
    // By keyboard, which must reach everything on the page.
    await page.getByRole("button", { name: "Stall page-3" }).focus();
    await page.keyboard.press("Enter");
    await until("the page reports it", async () => (await state(page)) === "1 of 5 stalled");
    await until(
      "the plain writer has waited for it",
      async () => (await figure(page, "plain", "99 %")) > 1000,
    );
    await until("the last ten seconds were all stalled", async () => {
      const marked = await page.locator("#page-3[data-stalled=true]").count();
      return marked === 1 && (await figure(page, "plain", "failed")) >= 10;
    });
    const [hedged, plain] = [
      await figure(page, "hedged", "99 %"),
      await figure(page, "plain", "99 %"),
    ];
    assert.ok(hedged < plain / 2, `${hedged} ms with hedging, ${plain} ms without`);
    assert.equal(await figure(page, "hedged", "failed"), 0);
    assert.ok(
      (await proxy.metric("dlog_proxy_http_aborted_total")) > 0,
      "requests that lost are aborted at the server",
    );
    for (const [size, viewport] of Object.entries({
      desktop: { width: 1180, height: 1200 },
      phone: { width: 390, height: 844 },
      small: { width: 320, height: 640 },
    })) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        // The chart is redrawn in these colours once a second.
        const before = await page.locator("#read").textContent();
        await until(
          "a second has passed",
          async () => (await page.locator("#read").textContent()) !== before,
        );
        await page.screenshot({
          path: join(shots, `stalled-${size}-${colorScheme}.png`),
          fullPage: true,
        });
      }
      assert.deepEqual(await beyondTheEdge(page), [], `at ${viewport.width} pixels`);
    }
    await page.getByRole("button", { name: "Release all" }).click();
    await until(
      "it writes as before",
      async () => (await state(page)) === "Writing" && (await rate(page, "page-3", "plain")) > 0,
    );
  });

  test("reports that the proxy is down, and goes on when it is back", async (t) => {
    const { proxy, page } = await open(t, [], { viewport: { width: 390, height: 900 } });
    await until(
      "it writes",
      async () => (await state(page)) === "Writing" && (await rate(page, "page-1", "hedged")) > 0,
    );
    let failures = 0;
    page.on("requestfailed", () => failures++);
    await proxy.kill();
    await until("it reports that", async () => (await state(page)) === "No answer");
    assert.match(await page.getByRole("alert").textContent(), /go on by themselves/);
    await page.screenshot({ path: join(shots, "gone.png"), fullPage: true });
    const acknowledged = async () =>
      (await page.locator("#tail tr td:last-child").allTextContents()).join(" ");
    const before = await acknowledged();
    // Each one is a line in the browser's console. Most are retries of what was in flight.
    const end = performance.now() + 15_000;
    await until("a while has passed", () => performance.now() > end);
    t.diagnostic(`${failures} requests failed in 15 s`);
    assert.ok(failures <= 100, `${failures} requests failed`);
    await proxy.restart();
    await until(
      "it writes again",
      async () => (await state(page)) === "Writing" && (await rate(page, "page-1", "hedged")) > 0,
    );
    await until("it reads again", async () => (await acknowledged()) !== before);
  });

  test("asks for a token, and explains missing faults and a read-only proxy", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "dlog-page-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const [file, token] = [join(folder, "token"), "0123456789abcdef"];
    writeFileSync(file, token, { mode: 0o600 });
    const { page } = await open(t, ["--http-token-file", file], { faults: false });
    await until("it asks for the token", async () => (await state(page)) === "Token needed");
    await page.keyboard.type("not the right one");
    await page.keyboard.press("Enter");
    await until("it refuses a wrong token", async () =>
      /token/.test(await page.getByRole("alert").textContent()),
    );
    await page.screenshot({ path: join(shots, "token.png"), fullPage: true });
    await page.locator("#token-text").fill(token);
    await page.keyboard.press("Enter");
    await until(
      "it writes",
      async () => (await state(page)) === "Writing" && (await rate(page, "page-1", "hedged")) > 0,
    );
    assert.ok(await page.locator("#faults-off").isVisible());
    assert.equal(await page.getByRole("button", { name: "Stall" }).count(), 0);
    await page.screenshot({ path: join(shots, "no-faults.png"), fullPage: true });

    const { page: reading } = await open(t, ["--read-only"]);
    await until(
      "it explains why it does not write",
      async () => (await state(reading)) === "Cannot write",
    );
    assert.match(await reading.getByRole("alert").textContent(), /^The proxy is read only\./);
    await reading.screenshot({ path: join(shots, "read-only.png"), fullPage: true });
  });

  test("writes nothing before the click on Start, and asks for the token before", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "dlog-page-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const [file, token] = [join(folder, "token"), "0123456789abcdef"];
    writeFileSync(file, token, { mode: 0o600 });
    const { proxy, page } = await open(t, ["--http-token-file", file], { demo: false });
    const alert = page.getByRole("alert");
    for (const [wrong, why] of [
      ["0123456789abcdeX", /^The token is wrong\./],
      ["0123456789abcdeü", /^The token is wrong: .*ASCII/],
    ]) {
      await until("it asks for the token", async () => (await state(page)) === "Token needed");
      await page.locator("#token-text").fill(wrong);
      await page.keyboard.press("Enter");
      await until("it says so", async () => why.test(await alert.textContent()));
    }
    await page.locator("#token-text").fill(token);
    await page.keyboard.press("Enter");
    await until("it has started nothing", async () => (await state(page)) === "Not started");
    assert.ok(await page.locator("#idle").isVisible());
    await page.screenshot({ path: join(shots, "idle.png"), fullPage: true });
    const streams = async () => {
      const headers = { authorization: `Bearer ${token}` };
      const response = await fetch(`${proxy.url}/v1/streams`, { headers });
      return (await response.json()).streams;
    };
    assert.deepEqual(await streams(), []);
    await page.getByRole("button", { name: "Start" }).click();
    await until("it writes", async () => (await rate(page, "page-1", "hedged").catch(() => 0)) > 0);
    assert.equal((await streams()).length, 5);
    assert.equal(await page.locator("#idle").isVisible(), false);
  });

  test("stops writing when it was hidden for long", async (t) => {
    const { proxy, page } = await open(t);
    await until("it writes", async () => (await rate(page, "page-1", "hedged").catch(() => 0)) > 0);
    // The same as if the tab had been in the background for eleven minutes.
    await page.evaluate(() => {
      const hide = (hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      };
      hide(true);
      const now = performance.now.bind(performance);
      performance.now = () => now() + 660_000;
      hide(false);
    });
    await until("it has stopped", async () => (await state(page)) === "Paused");
    await until(
      "no request is in flight",
      async () => (await proxy.metric("dlog_proxy_requests_unanswered")) === 0,
    );
    await page.getByRole("button", { name: "Resume" }).click();
    await until("it writes again", async () => (await state(page)) === "Writing");
  });

  test("closes its connections while it is hidden", async (t) => {
    const { proxy, page } = await open(t);
    await until("it writes", async () => (await rate(page, "page-1", "hedged").catch(() => 0)) > 0);
    const hide = (hidden) =>
      page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await hide(true);
    await until(
      "there are no readers",
      async () => (await proxy.metric("dlog_proxy_http_readers")) === 0,
    );
    await until(
      "no request is in flight",
      async () => (await proxy.metric("dlog_proxy_requests_unanswered")) === 0,
    );
    const before = await proxy.metric("dlog_proxy_http_requests_total");
    await hide(false);
    await until("it writes and reads again", async () => {
      const more = (await proxy.metric("dlog_proxy_http_requests_total")) > before + 50;
      return more && (await proxy.metric("dlog_proxy_http_readers")) > 0;
    });
    assert.equal(await page.locator("#notice").isVisible(), false);
  });
});
