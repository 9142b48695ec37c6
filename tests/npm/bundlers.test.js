// The package in pages of each bundler, configured as in the README, in headless Chromium.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import * as esbuild from "esbuild";
import * as vite from "vite";
import webpack from "webpack";

import { launch } from "./chromium.js";
import { serve } from "./pages.js";
import { Proxy } from "./proxy.js";

const here = import.meta.dirname;
const INLINE = { distributedlog: "distributedlog/inline" };

/**
 * Functions that bundle bundled.mjs into a folder, and return the name of the script that the page
 * loads.
 */
const BUNDLERS = {
  async vite(folder) {
    await viteBuild("vite-page", folder, "es", "bundled.mjs");
    // Besides it there is a file that the first reader loads.
    const page = readFileSync(join(folder, "index.html"), "utf8");
    return /src="\.\/([^"]+\.js)"/.exec(page)[1];
  },
  async webpack(folder) {
    const stats = await new Promise((resolve, reject) => {
      const done = (error, stats) => (error ? reject(error) : resolve(stats));
      webpack(
        {
          context: here,
          mode: "production",
          entry: "./bundled.mjs",
          output: { path: folder, filename: "page.js" },
        },
        done,
      );
    });
    assert.ok(!stats.hasErrors() && !stats.hasWarnings(), stats.toString());
    return "page.js";
  },
  async "esbuild, with the module beside the bundle"(folder) {
    await esbuild.build(esbuildTo(folder));
    copyFileSync(
      join(here, "node_modules/distributedlog/dist/distributedlog_bg.wasm"),
      join(folder, "distributedlog_bg.wasm"),
    );
    return "page.js";
  },
  async "esbuild, with the module within the bundle"(folder) {
    await esbuild.build({ ...esbuildTo(folder), alias: INLINE });
    assert.deepEqual(files(folder), ["page.js"], "nothing else to serve");
    return "page.js";
  },
};

/**
 * Has Vite build a page of one script in a folder of its own, with the other files beside it, and
 * its workers in this format.
 */
async function viteBuild(name, outDir, format, script, ...others) {
  const root = join(here, name);
  mkdirSync(root, { recursive: true });
  for (const file of [script, ...others]) copyFileSync(join(here, file), join(root, file));
  writeFileSync(
    join(root, "index.html"),
    `<!doctype html><title>page</title><script type="module" src="./${script}"></script>`,
  );
  await vite.build({
    root,
    base: "./",
    logLevel: "warn",
    worker: { format },
    build: { outDir, emptyOutDir: true },
  });
}

const esbuildTo = (outdir) => ({
  absWorkingDir: here,
  entryPoints: { page: "bundled.mjs" },
  bundle: true,
  format: "esm",
  outdir,
  logLevel: "warning",
});
const files = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath ?? each.path, each.name).slice(folder.length + 1));

describe("bundlers", () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  for (const [index, [name, bundle]] of Object.entries(BUNDLERS).entries()) {
    test(`a page bundled by ${name} writes and reads back`, async (t) => {
      const folder = join(here, `bundled-${index}`);
      const script = await bundle(folder);
      const served = Object.fromEntries(
        files(folder).map((file) => [`/${file}`, readFileSync(join(folder, file))]),
      );
      const pages = await serve({
        ...served,
        "/": `<!doctype html><title>page</title><script type="module" src="/${script}"></script>`,
      });
      t.after(() => pages.close());
      const proxy = await Proxy.start(["--cors-origin", pages.origin]);
      t.after(() => proxy.stop());
      const streams = ["one", "two", "three"];
      await proxy.create(...streams);
      const page = await browser.newPage();
      t.after(() => page.close());
      const asked = [];
      page.on("request", (request) => asked.push(request.url()));
      await page.goto(`${pages.origin}/`);
      await page.waitForFunction(() => globalThis.bundled);
      const { written, read } = await page.evaluate(
        ([url, streams]) => bundled(url, streams),
        [proxy.url, streams],
      );
      assert.equal(written.length, 20);
      // A hedged set may be delivered from the other stream.
      const texts = (records) => records.map(([, , text]) => text).sort();
      assert.deepEqual(texts(read), texts(written));
      for (const [stream, dlsn, text] of written)
        assert.equal((await proxy.stored(stream)).get(dlsn), text);
      const modules = asked.filter((url) => url.endsWith(".wasm"));
      assert.equal(modules.length, name.includes("within") ? 0 : 1, `${modules}`);
    });
  }

  // "iife" is Vite's default.
  for (const format of ["es", "iife"]) {
    test(`a Vite page whose worker (${format}) writes reads what it wrote`, async (t) => {
      const folder = join(here, `bundled-worker-${format}`);
      await viteBuild(`vite-worker-${format}`, folder, format, "vite-page.mjs", "vite-worker.mjs");
      const served = Object.fromEntries(
        files(folder).map((file) => [`/${file}`, readFileSync(join(folder, file))]),
      );
      const pages = await serve({ ...served, "/": served["/index.html"] });
      t.after(() => pages.close());
      const flags = ["--cors-origin", pages.origin];
      const proxy = await Proxy.start(flags);
      t.after(() => proxy.stop());
      const page = await browser.newPage();
      t.after(() => page.close());
      await page.goto(`${pages.origin}/`);
      await page.waitForFunction(() => globalThis.fromWorker);
      const { result, read } = await page.evaluate(
        ([url, streams]) => fromWorker(url, streams, 2_000),
        [proxy.url, ["worker-1", "worker-2", "worker-3"]],
      );
      assert.deepEqual(result, { written: 2_000, failed: 0 });
      assert.deepEqual(
        read.sort((left, right) => left - right),
        Array.from({ length: 2_000 }, (_, index) => index),
      );
    });
  }
});
