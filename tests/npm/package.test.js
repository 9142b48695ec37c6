// The package as npm installs it: files, entries, types, sizes, the README's example, and the
// module's determinism.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { Proxy } from "./proxy.js";

const here = import.meta.dirname;
const installed = join(here, "node_modules/distributedlog");
const run = promisify(execFile);
const node = (...words) => run(process.execPath, words, { cwd: here, timeout: 90_000 });

/** Files of the package besides package.json, README.md and LICENSE. */
const DIST = [
  "admin.cjs",
  "admin.cjs.map",
  "admin.d.cts",
  "admin.d.ts",
  "admin.js",
  "admin.js.map",
  "diagnostics.cjs",
  "diagnostics.cjs.map",
  "diagnostics.d.cts",
  "diagnostics.d.ts",
  "diagnostics.js",
  "diagnostics.js.map",
  "distributedlog_bg.wasm",
  "frames.js",
  "frames.js.map",
  "index.d.cts",
  "index.d.ts",
  "inline.cjs",
  "inline.cjs.map",
  "inline.js",
  "inline.js.map",
  "node.cjs",
  "node.cjs.map",
  "node.js",
  "node.js.map",
  "shared.js",
  "shared.js.map",
  "streams.cjs",
  "streams.cjs.map",
  "streams.d.cts",
  "streams.d.ts",
  "streams.js",
  "streams.js.map",
  "web.js",
  "web.js.map",
  "workerd.js",
  "workerd.js.map",
];

describe("the package", () => {
  let proxy;
  before(async () => {
    proxy = await Proxy.start();
  });
  after(() => proxy.stop());

  test("npm publishes the files that users need and no others", () => {
    assert.deepEqual(readdirSync(installed).sort(), [
      "LICENSE",
      "README.md",
      "dist",
      "package.json",
    ]);
    assert.deepEqual(readdirSync(join(installed, "dist")).sort(), DIST);
  });

  for (const [kind, ending, line] of [
    ["import", "mjs", 'import { MultiStreamWriter } from "distributedlog";'],
    ["require", "cjs", 'const { MultiStreamWriter } = require("distributedlog");'],
    [
      "import of the inline entry",
      "mjs",
      'import { MultiStreamWriter } from "distributedlog/inline";',
    ],
    [
      "require of the inline entry",
      "cjs",
      'const { MultiStreamWriter } = require("distributedlog/inline");',
    ],
  ]) {
    test(`${kind} returns a writer that writes and lets the process end`, async () => {
      const file = join(here, `entry.${ending}`);
      writeFileSync(
        file,
        `${line}
        const writer = new MultiStreamWriter({
          url: ${JSON.stringify(proxy.url)}, streams: ["entries"], requestTimeout: 60_000,
        });
        writer.write("by ${kind}").then(({ dlsn }) => console.log(String(dlsn)));`,
      );
      const began = performance.now();
      const { stdout } = await node(file);
      // The writer's timers are armed for a minute.
      assert.ok(performance.now() - began < 30_000, "nothing keeps the process alive");
      assert.equal((await proxy.stored("entries")).get(stdout.trim()), `by ${kind}`);
    });
  }

  test("the README's example writes and reads a record", async () => {
    const [, example] = /## In Node\n\n```js\n([^]*?)```/.exec(
      readFileSync(join(installed, "README.md"), "utf8"),
    );
    writeFileSync(join(here, "example.mjs"), example);
    const { stdout } = await run(process.execPath, ["example.mjs"], {
      cwd: here,
      timeout: 60_000,
      env: { ...process.env, DLOG_URL: proxy.url },
    });
    const [, stream, dlsn, attempts] = /^written to (\S+) at (\S+), attempts: (\d+)$/m.exec(stdout);
    // On a busy machine the record may be hedged, and then be delivered from another stream.
    const place = attempts === "1" ? `${stream} at ${dlsn}` : "";
    assert.ok(stdout.includes(`read from ${place}`) && stdout.includes(": an order"), stdout);
  });

  test("the types reject wrong programs, for import and for require", async () => {
    const program = `
      const url = "http://localhost";
      const options: MultiStreamWriterOptions = { url, streams: ["a"], fetch, budget: true };
      export async function use(): Promise<string> {
        const writer = new MultiStreamWriter(options);
        const record = new Uint8Array(3);
        const signal = AbortSignal.timeout(5);
        const { stream, dlsn, attempts }: Written = await writer.write(record, { signal });
        try {
          await writer.write("text");
        } catch (error) {
          if (error instanceof WriteError) {
            const known: "notWritten" | "rejected" | "unknown" = error.known;
            return known;
          }
        }
        // @ts-expect-error a number is not a record
        await writer.write(7);
        // @ts-expect-error unknown setting
        new MultiStreamWriter({ ...options, requestTimout: 5 });
        // @ts-expect-error a position is not a string
        const wrong: string = dlsn;
        const position = new MultiStreamReader(options).position();
        for await (const record of new MultiStreamReader({ url, position })) {
          const bytes: Uint8Array = record.payload;
          return record.text() + bytes.length + wrong;
        }
        await writer.close({ timeout: 1 });
        return stream + attempts;
      }`;
    const names = [
      "MultiStreamReader",
      "MultiStreamWriter",
      "WriteError",
      "type MultiStreamWriterOptions",
      "type Written",
    ];
    for (const from of ["distributedlog", "distributedlog/inline"]) {
      writeFileSync(
        join(here, "consumer.mts"),
        `import { ${names.join(", ")} } from "${from}";${program}`,
      );
      writeFileSync(
        join(here, "consumer.cts"),
        `import { ${names.join(", ")} } from "${from}";${program}`,
      );
      const flags = [
        "--noEmit",
        "--strict",
        "--exactOptionalPropertyTypes",
        "--target",
        "es2022",
        "--types",
        "node",
      ];
      await node(
        join(here, "node_modules/typescript/bin/tsc"),
        ...flags,
        "--module",
        "node16",
        "consumer.mts",
        "consumer.cts",
      ).catch(({ stdout }) => assert.fail(stdout));
    }
    const text = readFileSync(join(installed, "dist/index.d.ts"), "utf8");
    assert.ok(!/\bany\b/.test(text.replace(/\/\*\*[^]*?\*\//g, "")), "no any");
  });

  test("every entry is imported where there is no page and no fetch, as servers render pages", async () => {
    const entries = ["", "/inline", "/admin", "/streams", "/node"].map((name) => `distributedlog${name}`);
    writeFileSync(
      join(here, "render.mjs"),
      `for (const name of ["fetch", "crypto", "document", "Headers"]) delete globalThis[name];
      for (const entry of ${JSON.stringify(entries)}) await import(entry);
      // Bundlers take this one with the condition "browser".
      await import("./node_modules/distributedlog/dist/web.js");`,
    );
    await node("render.mjs");
  });

  test("a bundle without the module says which import contains it", async () => {
    const { default: esbuild } = await import("esbuild");
    writeFileSync(
      join(here, "no-module.mjs"),
      'import { init } from "distributedlog"; await init().catch(({ message }) => console.log(message));',
    );
    await esbuild.build({
      absWorkingDir: here,
      entryPoints: ["no-module.mjs"],
      outfile: "no-module/bundle.mjs",
      bundle: true,
      platform: "node",
      format: "esm",
    });
    const { stdout } = await node("no-module/bundle.mjs");
    assert.match(stdout, /ENOENT.*distributedlog\/inline/);
  });

  test("the types need neither lib dom nor those of Node", async () => {
    const program = `
      import { MultiStreamReader, MultiStreamWriter, type Written } from "distributedlog";
      import { StreamAdmin } from "distributedlog/admin";
      import { decoding, encoding, json, writableStream, writeAll } from "distributedlog/streams";
      declare const signal: {
        aborted: boolean; reason: unknown;
        addEventListener(type: "abort", call: () => void, options?: { once?: boolean }): void;
      };
      const options = { url: "http://localhost", streams: ["a"] };
      export async function use(): Promise<Written> {
        const writer = new MultiStreamWriter({ ...options, token: async () => "t" });
        await writeAll(writer, ["a", new Uint8Array(3)], { signal });
        const events = encoding(writer, json<{ at: number }>());
        // @ts-expect-error not an event
        await events.write({ at: "x" });
        for await (const { value } of decoding(new MultiStreamReader(options), json<string>()))
          value.toUpperCase();
        const names: AsyncGenerator<string> = new StreamAdmin(options).list();
        writableStream(writer);
        await names.next();
        return events.write({ at: 1 });
      }`;
    writeFileSync(join(here, "bare.mts"), program);
    const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,esnext.disposable"];
    await node(
      join(here, "node_modules/typescript/bin/tsc"),
      ...[...flags, "--types", "", "--module", "node16", "bare.mts"],
    ).catch(({ stdout }) => assert.fail(stdout));
  });

  test("source maps name the sources, and contain them", async () => {
    for (const file of DIST.filter((name) => name.endsWith(".map"))) {
      const map = JSON.parse(readFileSync(join(installed, "dist", file), "utf8"));
      assert.equal(map.sources.length, map.sourcesContent?.length ?? 0, file);
      const code = readFileSync(join(installed, "dist", file.slice(0, -".map".length)), "utf8");
      assert.match(code, new RegExp(`//# sourceMappingURL=${file}\\s*$`));
    }
    const options = '{ url: "ftp://x", streams: ["a"] }';
    writeFileSync(
      join(here, "mapped.mjs"),
      `import { MultiStreamWriter } from "distributedlog"; new MultiStreamWriter(${options});`,
    );
    const { stderr } = await node("--enable-source-maps", "mapped.mjs").catch((error) => error);
    assert.match(stderr, /src\/server\.ts:\d+/);
  });

  test("the files that a page loads are within their budget", (t) => {
    const size = (file) =>
      gzipSync(readFileSync(join(installed, "dist", file)), { level: 9 }).length;
    const module = size("distributedlog_bg.wasm");
    const page = module + size("web.js") + size("shared.js");
    const measured = { page, reader: page + size("frames.js"), module };
    const budget = readFileSync(process.env.BUDGET, "utf8")
      .split("\n")
      .filter((line) => /^\w/.test(line));
    assert.equal(budget.length, 3);
    for (const line of budget) {
      const [name, bytes] = line.split(" ");
      t.diagnostic(`${name}: ${measured[name]} bytes of ${bytes}`);
      assert.ok(measured[name] <= Number(bytes), `${name}: ${measured[name]} bytes of ${bytes}`);
    }
    const { dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    assert.equal(dependencies, undefined);
  });

  test("the module imports only the package's own functions", async () => {
    const module = await WebAssembly.compile(
      readFileSync(join(installed, "dist/distributedlog_bg.wasm")),
    );
    const foreign = WebAssembly.Module.imports(module).filter(
      ({ module }) => !module.startsWith("./"),
    );
    assert.deepEqual(foreign, [], "all imports are the package's own");
  });

  test("the traces in WebAssembly are those of this machine", async () => {
    const { instance } = await WebAssembly.instantiate(readFileSync(process.env.TRACE_WASM), {});
    const lines = process.env.TRACES.trim().split("\n");
    assert.ok(lines.length >= 4);
    for (const line of lines) {
      const [seed, hash] = line.split(" ").map((number) => BigInt(`0x${number}`));
      assert.equal(BigInt.asUintN(64, instance.exports.of_life(seed)), hash, `of seed ${seed}`);
    }
  });
});
