// The package in the released Deno, Bun and workerd, and in a bundle for Node, against the real
// proxy.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { build } from "esbuild";

import { Proxy } from "./proxy.js";
import { withTimeout, until } from "./wait.js";

const here = import.meta.dirname;
const run = promisify(execFile);
const streams = (name) => ["1", "2", "3"].map((number) => `${name}-${number}`);

/**
 * Returns `file` of the package of `scope` whose name begins with `name`: npm installs only that of
 * this platform.
 */
function binary(scope, name, file) {
  const folder = join(here, "node_modules", scope);
  const found = readdirSync(folder).find((each) => each.startsWith(name));
  assert.ok(found, `npm has installed no ${scope}/${name}…: is this platform supported?`);
  return join(folder, found, file);
}

describe("runtimes", () => {
  let proxy, gone;
  before(async () => {
    proxy = await Proxy.start();
    const stopped = await Proxy.start();
    gone = stopped.url;
    await stopped.stop();
  });
  after(() => proxy.stop());

  /**
   * Asserts that the records are at their positions, were read once, and that the hedged attempts
   * were aborted.
   */
  async function check({ written, read, hedgesWon }, names, abortedBefore) {
    const found = new Map(
      await Promise.all(names.map(async (name) => [name, await proxy.stored(name)])),
    );
    for (const [stream, dlsn, text] of written) assert.equal(found.get(stream).get(dlsn), text);
    for (const [stream, dlsn, text] of read) assert.equal(found.get(stream).get(dlsn), text);
    // A hedged set may be delivered from the other stream.
    const texts = (records) => records.map(([, , text]) => text).sort();
    assert.deepEqual(texts(read), texts(written), "each once");
    assert.ok(hedgesWon >= 1, "a set of the stalled stream was hedged");
    await until(
      "the aborts have arrived",
      async () =>
        (await proxy.metric("dlog_proxy_http_aborted_total")) - abortedBefore >= hedgesWon,
    );
  }

  const permissions = [
    "--no-prompt",
    "--cached-only",
    "--node-modules-dir=manual",
    "--allow-net=127.0.0.1",
    "--allow-read=node_modules",
    "--allow-env=DLOG_URL,DLOG_GONE,DLOG_STREAMS",
  ];
  for (const [name, command, words] of [
    ["Deno", () => binary("@deno", "", "deno"), ["run", ...permissions]],
    ["Bun", () => binary("@oven", "bun-", "bin/bun"), ["run"]],
  ]) {
    test(`${name} writes, hedges, reads back, reports failures, and ends`, async (t) => {
      const { stdout: version } = await run(command(), ["--version"]);
      t.diagnostic(`${name} ${version.split("\n")[0]}`);
      await runsToTheEnd(command(), [...words, "runtime.mjs"], name.toLowerCase());
    });
  }

  async function runsToTheEnd(command, words, name) {
    const names = streams(name);
    await proxy.create(...names);
    const aborted = await proxy.metric("dlog_proxy_http_aborted_total");
    const env = {
      ...process.env,
      DLOG_URL: proxy.url,
      DLOG_GONE: gone,
      DLOG_STREAMS: names.join(),
    };
    const { stdout } = await run(command, words, { cwd: here, timeout: 60_000, env });
    const seen = JSON.parse(stdout);
    assert.equal(seen.written.length, 56);
    assert.deepEqual([seen.code, seen.known], ["EXHAUSTED", "notWritten"], "the proxy is stopped");
    await check(seen, names, aborted);
  }

  for (const [kind, more] of [
    ["with the module beside it", {}],
    ["with the module within it", { alias: { distributedlog: "distributedlog/inline" } }],
  ]) {
    test(`a bundle for Node ${kind} does the same`, async () => {
      const folder = join(here, `bundle-${Object.keys(more).length}`);
      await build({
        absWorkingDir: here,
        entryPoints: ["runtime.mjs"],
        bundle: true,
        platform: "node",
        format: "esm",
        outExtension: { ".js": ".mjs" },
        outdir: folder,
        ...more,
      });
      if (!more.alias)
        copyFileSync(
          join(here, "node_modules/distributedlog/dist/distributedlog_bg.wasm"),
          join(folder, "distributedlog_bg.wasm"),
        );
      await runsToTheEnd(
        process.execPath,
        [join(folder, "runtime.mjs")],
        `bundle-${Object.keys(more).length}`,
      );
    });
  }

  test("workerd writes, hedges and reads back, request by request", async (t) => {
    const names = streams("workerd");
    await proxy.create(...names);
    const folder = join(here, "workerd");
    mkdirSync(folder, { recursive: true });
    // Like wrangler, leaves the module a separate file, which workerd compiles.
    await build({
      absWorkingDir: here,
      entryPoints: ["worker.mjs"],
      bundle: true,
      format: "esm",
      outdir: folder,
      conditions: ["workerd"],
      loader: { ".wasm": "copy" },
      assetNames: "[name]",
    });
    writeFileSync(join(folder, "config.capnp"), WORKERD);
    const child = spawn(
      binary("@cloudflare", "workerd-", "bin/workerd"),
      ["serve", "--control-fd=1", "config.capnp"],
      { cwd: folder, stdio: ["ignore", "pipe", "pipe"] },
    );
    const ended = new Promise((resolve) => child.on("exit", resolve));
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    t.after(async () => {
      kill();
      await ended;
      process.removeListener("exit", kill);
    });
    let output = "";
    const port = await withTimeout("workerd to listen", (resolve, reject) => {
      child.stderr.on("data", (text) => (output += text));
      child.on("exit", () => reject(new Error(`workerd ended: ${output}`)));
      child.stdout.on("data", (text) => {
        const listening = /"port":(\d+)/.exec((output += text));
        if (listening) resolve(listening[1]);
      });
    });
    const ask = async (...texts) => {
      const body = JSON.stringify({ url: proxy.url, streams: names, texts });
      const response = await fetch(`http://127.0.0.1:${port}/`, {
        method: "POST",
        body,
        signal: AbortSignal.timeout(60_000),
      });
      assert.equal(response.status, 200, output);
      return response.json();
    };
    const first = await ask("before the stall");
    assert.equal(first.read.length, 1);
    const aborted = await proxy.metric("dlog_proxy_http_aborted_total");
    await proxy.stall(names[1]);
    const second = await ask(...Array.from({ length: 6 }, (_, index) => `record ${index}`));
    await proxy.clear(names[1]);
    await check({ ...second, written: [...first.written, ...second.written] }, names, aborted);
  });
});

const WORKERD = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "distributedlog_bg.wasm", wasm = embed "distributedlog_bg.wasm")
  ],
  compatibilityDate = "2026-01-01"
);
`;
