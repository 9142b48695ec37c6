// The examples in JavaScript: the worker in Node, the page in Chromium.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { serve } from "./pages.js";
import { Proxy } from "./proxy.js";

const here = import.meta.dirname;
const run = promisify(execFile);

describe("the examples", () => {
  let proxy;
  let site;
  before(async () => {
    // The page asks for the package where npm installs it.
    const html = readFileSync(join(here, "page.html"), "utf8");
    const page = html.replace("./node_modules/distributedlog/dist/", "/distributedlog/");
    assert.notEqual(page, html);
    site = await serve({ "/page": page });
    proxy = await Proxy.start(["--cors-origin", site.origin]);
  });
  after(async () => {
    await site?.close();
    await proxy?.stop();
  });

  test("the worker writes what the reader reads", async () => {
    const { stdout } = await run(process.execPath, ["example-worker.mjs"], {
      cwd: here,
      env: { ...process.env, DLOG_URL: proxy.url },
      timeout: 90_000,
    });
    assert.equal(stdout, "written: 100, failed: 0\nread: 100\n");
  });

  // The part `wasm` runs without a browser.
  test("the page writes a click", { skip: !process.env.CHROMIUM }, async (t) => {
    const { launch } = await import("./chromium.js");
    const browser = await launch();
    t.after(() => browser.close());
    const page = await browser.newPage();
    await page.goto(`${site.origin}/page?proxy=${encodeURIComponent(proxy.url)}`);
    await page.waitForLoadState("networkidle");
    await page.mouse.click(20, 20);
    const line = await page.locator("#log li").first().textContent({ timeout: 30_000 });
    assert.match(line, /^clicks-[123] .+, attempts: [12]$/);
  });
});
