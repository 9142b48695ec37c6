// Writer and reader in headless Chromium, against the real proxy. The pages and the proxy have
// different origins.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.js";
import { leaveBehind, leftBehind, PAGE, PATIENT, serve } from "./pages.js";
import { Proxy } from "./proxy.js";
import { NO_HISTORY } from "./settings.js";
import { assertStalledTail } from "./tail.js";
import { until } from "./wait.js";

const streams = ["b-1", "b-2", "b-3", "b-4", "b-5"];
const FIRST_SPECULATIVE_MS = 50;

const WORKER = `
  import { MultiStreamWriter } from "/distributedlog/web.js";
  onmessage = async ({ data }) => {
    const writer = new MultiStreamWriter(data);
    const { stream, dlsn } = await writer.write("from a worker");
    await writer.close();
    postMessage({ stream, dlsn: String(dlsn) });
  };`;

/** Returns the README's example for browsers. */
function example() {
  const text = readFileSync(
    new URL("node_modules/distributedlog/README.md", import.meta.url),
    "utf8",
  );
  return /```html\n([^]*?)```/.exec(text)[1];
}

describe("in Chromium", () => {
  let browser, pages, proxy, context;
  before(async () => {
    browser = await launch();
    pages = await serve({
      "/": PAGE,
      "/worker.js": WORKER,
      "/example": example().replace("./distributedlog/", "/distributedlog/"),
    });
    proxy = await Proxy.start(["--cors-origin", pages.origin]);
    await proxy.create(...streams, "clicks-1", "clicks-2", "clicks-3");
    context = await browser.newContext();
  });
  after(async () => {
    await browser?.close();
    await pages?.close();
    await proxy?.stop();
  });

  async function openPage(t) {
    const page = await context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(error));
    t.after(async () => {
      await page.close();
      assert.deepEqual(errors, []);
    });
    await page.goto(pages.origin);
    await page.waitForFunction(() => globalThis.loaded);
    return page;
  }

  const stored = async () =>
    new Map(await Promise.all(streams.map(async (stream) => [stream, await proxy.stored(stream)])));
  const options = (more = {}) => ({
    ...NO_HISTORY,
    url: proxy.url,
    streams,
    requestTimeout: 10_000,
    ...more,
  });

  test("ten thousand records over five streams are read back at their positions", async (t) => {
    const page = await openPage(t);
    const { written, read } = await page.evaluate(async (options) => {
      const writer = new MultiStreamWriter(options);
      const written = await Promise.all(
        Array.from({ length: 10_000 }, async (_, index) => {
          const { stream, dlsn } = await writer.write(`page record ${index}`);
          return [`page record ${index}`, `${stream} ${dlsn}`];
        }),
      );
      await writer.close();
      const read = [];
      const reader = new MultiStreamReader({
        ...options,
        requestTimeout: undefined,
        follow: false,
      });
      for await (const record of reader)
        read.push([record.text(), `${record.stream} ${record.dlsn}`]);
      return { written, read };
    }, options());
    assert.equal(written.length, 10_000);
    const found = await stored();
    for (const [record, place] of written) {
      const [stream, dlsn] = place.split(" ");
      assert.equal(found.get(stream).get(dlsn), record);
    }
    assert.equal(read.length, 10_000, "each once");
    assert.deepEqual(
      new Set(read.map(([record]) => record)),
      new Set(written.map(([record]) => record)),
    );
    assert.equal(new Set(written.map(([, place]) => place.split(" ")[0])).size, streams.length);
  });

  test("the parser of stored records is loaded by the first reader, and by no writer", async (t) => {
    const page = await openPage(t);
    const loaded = [];
    page.on("request", (request) => loaded.push(new URL(request.url()).pathname));
    const parser = () => loaded.filter((path) => path === "/distributedlog/frames.js").length;
    await page.evaluate(async (options) => {
      const writer = new MultiStreamWriter(options);
      await writer.write("a record");
      await writer.close();
    }, options());
    assert.equal(parser(), 0);
    const kinds = await page.evaluate(async (options) => {
      const kinds = [];
      const asking = async (url, init) => {
        const response = await fetch(url, init);
        kinds.push(response.headers.get("content-type"));
        return response;
      };
      const only = { requestTimeout: undefined, follow: false, fetch: asking };
      for (let round = 0; round < 2; round++)
        for await (const _ of new MultiStreamReader({ ...options, ...only }));
      return kinds;
    }, options());
    assert.equal(parser(), 1);
    assert.deepEqual([...new Set(kinds)], ["application/vnd.distributedlog.entries"]);
  });

  test("while one stream stalls, p99 is below healthy p99 plus speculative timeout", async (t) => {
    const page = await openPage(t);
    await page.evaluate(
      (options) => {
        globalThis.writer = new MultiStreamWriter(options);
      },
      options({ firstSpeculativeTimeout: FIRST_SPECULATIVE_MS }),
    );
    const aborted = await proxy.metric("dlog_proxy_http_aborted_total");
    await assertStalledTail(t, {
      firstSpeculativeMs: FIRST_SPECULATIVE_MS,
      stall: () => proxy.stall("b-3"),
      clear: () => proxy.clear("b-3"),
      write: (round) =>
        page.evaluate(async (round) => {
          const took = [];
          for (let index = 0; index < 100; index++) {
            const began = performance.now();
            await writer.write(`one at a time ${round} ${index}`);
            took.push(performance.now() - began);
          }
          return took;
        }, round),
    });
    const { hedgesWon } = await page.evaluate(() => writer.stats());
    assert.ok(hedgesWon >= 75, "the sets of the stalled stream were hedged");
    await until(
      "the aborts have arrived",
      async () => (await proxy.metric("dlog_proxy_http_aborted_total")) - aborted >= hedgesWon,
    );
  });

  test("a page that is closed while it writes loses no acknowledged record", async () => {
    const page = await context.newPage();
    await page.goto(pages.origin);
    await page.waitForFunction(() => globalThis.loaded);
    const acknowledged = [];
    await page.exposeFunction(
      "acknowledged",
      (record, stream, dlsn) => void acknowledged.push({ record, stream, dlsn }),
    );
    await page.evaluate((options) => {
      const writer = new MultiStreamWriter(options);
      const write = async (task) => {
        for (let index = 0; ; index++) {
          const { stream, dlsn } = await writer.write(`closing ${task}/${index}`);
          void acknowledged(`closing ${task}/${index}`, stream, String(dlsn));
        }
      };
      for (let task = 0; task < 20; task++) void write(task);
    }, options());
    await until("many are acknowledged", () => acknowledged.length > 500);
    await page.close();
    const found = await stored();
    for (const { record, stream, dlsn } of acknowledged)
      assert.equal(found.get(stream).get(dlsn), record);
  });

  test("a partial set is sent when the page is left", async (t) => {
    const page = await openPage(t);
    await page.evaluate(leaveBehind, options(PATIENT));
    await page.goto("about:blank");
    const arrived = async () => leftBehind(await stored());
    await until("all are stored", async () => (await arrived()) >= 50);
    assert.equal(await arrived(), 50);
  });

  test("writes wait out ten seconds offline", async (t) => {
    const page = await openPage(t);
    await page.evaluate(
      (options) => {
        globalThis.writer = new MultiStreamWriter(options);
        return writer.write("online");
      },
      options({ requestTimeout: 60_000 }),
    );
    await context.setOffline(true);
    t.after(() => context.setOffline(false));
    const began = performance.now();
    const writing = page.evaluate(async () => {
      const records = Array.from({ length: 200 }, (_, index) => `offline ${index}`);
      const written = await Promise.all(records.map((record) => writer.write(record)));
      return written.map(({ stream, dlsn }, index) => [records[index], stream, String(dlsn)]);
    });
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    assert.equal((await page.evaluate(() => writer.stats())).recordsWritten, 1);
    await context.setOffline(false);
    const written = await writing;
    t.diagnostic(
      `written ${(performance.now() - began - 10_000).toFixed(0)} ms after the network came back`,
    );
    const found = await stored();
    for (const [record, stream, dlsn] of written) assert.equal(found.get(stream).get(dlsn), record);
    const { attempts } = await page.evaluate(() => writer.stats());
    assert.ok(attempts < 400, `${attempts} attempts in ten seconds: it paused between them`);
  });

  test("writing and reading resume after the server is killed and restarted", async (t) => {
    const page = await openPage(t);
    await page.evaluate(
      async (options) => {
        globalThis.writer = new MultiStreamWriter(options);
        globalThis.reader = new MultiStreamReader({
          url: options.url,
          streams: options.streams,
          from: "end",
          connections: 5,
        });
        globalThis.read = [];
        void (async () => {
          for await (const record of reader) read.push(record.text());
        })();
      },
      options({ requestTimeout: 60_000, connections: 1 }),
    );
    await page.waitForFunction(() =>
      Object.values(reader.position().streams).every((place) => place.from !== "end"),
    );
    for (let round = 0; round < 3; round++) {
      await page.evaluate(
        (round) =>
          Promise.all(
            Array.from({ length: 50 }, (_, index) => writer.write(`round ${round}, ${index}`)),
          ),
        round,
      );
      await page.waitForFunction((count) => read.length === count, 50 * (round + 1));
      await proxy.kill();
      await proxy.restart();
    }
    assert.equal(await page.evaluate(() => new Set(read).size), 150);
    await page.evaluate(() => reader.return());
  });

  test("after 429 and 503 the writer avoids the stream for the time of retry-after", async (t) => {
    const page = await openPage(t);
    for (const code of [517, 503]) {
      await proxy.fail("b-2", code);
      const { failures, sick } = await page.evaluate(
        async (options) => {
          const writer = new MultiStreamWriter(options);
          for (let index = 0; index < 40; index++) {
            const { stream } = await writer.write(`pushed back ${index}`);
            if (stream === "b-2") throw new Error("it fails on purpose");
          }
          const { failures, streams } = writer.stats();
          await writer.close();
          return { failures, sick: streams["b-2"].failed };
        },
        options({ bufferSize: 0 }),
      );
      assert.ok(sick >= 1 && sick === failures, `${sick} of ${failures}`);
      // CORS hides retry-after unless the server exposes it. Without it every fifth set would try
      // the stream.
      assert.ok(failures <= 4, `${failures} attempts at a stream that asked for a pause`);
    }
    await proxy.clear("b-2");
  });

  test("the errors distinguish a server without CORS from one that is down", async (t) => {
    const foreign = await Proxy.start();
    t.after(() => foreign.stop());
    const page = await openPage(t);
    const attempt = (url) =>
      page.evaluate(
        async (options) => {
          const writer = new MultiStreamWriter(options);
          const written = await writer.write("x").catch((error) => error);
          const reader = new MultiStreamReader({ url: options.url, streams: options.streams });
          const next = reader
            .next()
            .then(String, ({ name, code, message }) => ({ name, code, message }));
          const read = await Promise.race([
            next,
            new Promise((resolve) => setTimeout(resolve, 2_000, "no answer")),
          ]);
          await Promise.all([reader.return(), writer.close()]);
          const { name, code, known, message } = written;
          return { written: { name, code, known, message }, read };
        },
        options({ url, requestTimeout: 1_000 }),
      );
    const { written, read } = await attempt(foreign.url);
    assert.deepEqual(
      [written.name, written.code, written.known],
      ["ForbiddenError", "FORBIDDEN", "notWritten"],
    );
    assert.ok(
      written.message.includes(`start the proxy with --cors-origin ${pages.origin}`),
      written.message,
    );
    assert.deepEqual([read.name, read.code], ["ReadError", "FORBIDDEN"]);
    await foreign.kill();
    const gone = await attempt(foreign.url);
    assert.deepEqual(
      [gone.written.code, gone.written.known, gone.read],
      ["TIMED_OUT", "unknown", "no answer"],
    );
  });

  test("a page whose security policy forbids WebAssembly learns what the policy needs", async (t) => {
    const policy = { "content-security-policy": "script-src 'self' 'unsafe-inline'" };
    const strict = await serve({ "/": PAGE }, policy);
    t.after(() => strict.close());
    const page = await context.newPage();
    t.after(() => page.close());
    await page.goto(strict.origin);
    await page.waitForFunction(() => globalThis.loaded);
    const { name, message } = await page.evaluate(() =>
      init().then(
        () => ({}),
        ({ name, message }) => ({ name, message }),
      ),
    );
    assert.equal(name, "LoadError");
    assert.match(message, /needs script-src 'wasm-unsafe-eval'$/);
  });

  test("requests in flight when the page is left arrive once", async (t) => {
    const page = await openPage(t);
    await Promise.all(streams.map((stream) => proxy.stall(stream)));
    const before = await proxy.metric("dlog_proxy_requests_unanswered");
    const aborted = await proxy.metric("dlog_proxy_http_aborted_total");
    await page.evaluate(
      async (options) => {
        const writer = new MultiStreamWriter(options);
        for (let index = 0; index < 3; index++)
          void writer.write(`under way ${index}`).catch(() => {});
      },
      options({
        bufferSize: 0,
        firstSpeculativeTimeout: 60_000,
        maxSpeculativeTimeout: 60_000,
        requestTimeout: 120_000,
      }),
    );
    await until(
      "they wait",
      async () => (await proxy.metric("dlog_proxy_requests_unanswered")) >= before + 3,
    );
    await page.goto("about:blank");
    await until(
      "the page's own requests are gone",
      async () => (await proxy.metric("dlog_proxy_http_aborted_total")) >= aborted + 3,
    );
    await Promise.all(streams.map((stream) => proxy.clear(stream)));
    const arrived = async () => {
      const records = [...(await stored()).values()].flatMap((records) => [...records.values()]);
      return records.filter((record) => record.startsWith("under way ")).sort();
    };
    await until("they are stored", async () => (await arrived()).length >= 3);
    assert.deepEqual(await arrived(), ["under way 0", "under way 1", "under way 2"]);
  });

  test("a suspended page resumes without a burst of hedges", async (t) => {
    const page = await openPage(t);
    const suspend = async (more) =>
      page.evaluate(
        async (options) => {
          const writer = new MultiStreamWriter(options);
          const written = writer.write("suspended").then(
            ({ attempts }) => `written by ${attempts}`,
            ({ code }) => code,
          );
          while (writer.stats().attempts === 0) await new Promise((resolve) => setTimeout(resolve));
          const end = performance.now() + 2_000;
          while (performance.now() < end);
          const result = await written;
          // A hedge every 20 ms from then on, which on a busy machine are several.
          const due = 1 + (performance.now() - end) / 20;
          const { hedgesSent } = writer.stats();
          await writer.close();
          return { result, hedgesSent, due };
        },
        options({ firstSpeculativeTimeout: 20, maxSpeculativeTimeout: 20, ...more }),
      );
    const { hedgesSent, due } = await suspend({});
    assert.ok(hedgesSent <= due && due < 50, `${hedgesSent} hedges; ${due} were due afterwards`);
    await Promise.all(streams.map((stream) => proxy.stall(stream)));
    const late = await suspend({ requestTimeout: 1_000 });
    assert.deepEqual([late.result, late.hedgesSent], ["TIMED_OUT", 0]);
    await Promise.all(streams.map((stream) => proxy.clear(stream)));
  });

  test("a worker writes like a page", async (t) => {
    const page = await openPage(t);
    const { stream, dlsn } = await page.evaluate((options) => {
      const worker = new Worker("/worker.js", { type: "module" });
      return new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage(options);
      });
    }, options());
    assert.equal((await proxy.stored(stream)).get(dlsn), "from a worker");
  });

  test("the README's example writes a record for each click", async () => {
    const page = await context.newPage();
    await page.goto(`${pages.origin}/example?proxy=${encodeURIComponent(proxy.url)}`);
    await page.mouse.click(30, 40);
    await page.waitForFunction(() => /^clicks-\d \d+,\d+,\d+$/.test(document.title));
    const [stream, dlsn] = (await page.title()).split(" ");
    assert.deepEqual(JSON.parse((await proxy.stored(stream)).get(dlsn)), { x: 30, y: 40 });
    await page.close();
  });
});
