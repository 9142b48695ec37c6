// Builds the package's files from the output of wasm-bindgen in dist/glue. Called by wasm/build.
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";

import { build } from "esbuild";

process.chdir(import.meta.dirname);

// Run by binaryen's own wasm-opt, because Debian's writes a broken module.
const features = [
  "bulk-memory",
  "sign-ext",
  "mutable-globals",
  "nontrapping-float-to-int",
  "reference-types",
  "multivalue",
];
const module = "dist/distributedlog_bg.wasm";
execFileSync(process.execPath, [
  "node_modules/binaryen/bin/wasm-opt",
  "-Oz",
  "--converge",
  // Assumes that nothing addresses the first kilobyte of memory. It is the end of the stack, which
  // only an overflow reaches. Saves 240 bytes.
  "--low-memory-unused",
  // Larger functions that have one caller stay functions: more bytes, but they compress better.
  // Saves 850 compressed bytes; 10 and 60 save less.
  "--one-caller-inline-max-function-size=30",
  ...features.map((feature) => `--enable-${feature}`),
  "--strip-debug",
  "--strip-producers",
  "dist/glue/distributedlog_bg.wasm",
  "-o",
  module,
]);
copyFileSync(module, "dist/distributedlog.bin");

execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "."], {
  stdio: "inherit",
});

// What wasm-bindgen writes for other callers and for browsers older than the package's, 350 bytes of
// a page.
const glue = "dist/glue/distributedlog.js";
let code = readFileSync(glue, "utf8");
for (const [superfluous, instead] of [
  // `load.ts` passes a single object.
  [/console\.warn\('using deprecated parameters[^']*'\)/, ""],
  // Every browser that runs ES2022 has it.
  [/if \(!\('encodeInto' in cachedTextEncoder\)\) \{[^]*?\n\}\n/, ""],
  // Every caller passes it.
  [/if \(realloc === undefined\) \{[^]*?\n {4}\}\n/, ""],
  // The package itself frees the handles.
  [/if \(Symbol\.dispose\) .*\n/, ""],
  // A response that is none of these three kinds is not ok.
  [/const validResponse = .*\n/, ""],
  [/validResponse && /, ""],
  [/function expectedResponseType[^]*?\n {4}\}\n/, ""],
  // The same in fewer words.
  [/(?<=console\.warn\()"`WebAssembly\.instantiateStreaming`[^"]*"/, '"not application/wasm, so it loads slowly:"'],
]) {
  if (!superfluous.test(code)) throw new Error(`${superfluous} is not in ${glue}`);
  code = code.replaceAll(new RegExp(superfluous, "g"), instead);
}
writeFileSync(glue, code);

const common = {
  bundle: true,
  target: "es2022",
  minify: true,
  legalComments: "none",
  loader: { ".bin": "base64" },
  external: ["node:fs", "./distributedlog_bg.wasm"],
  sourcemap: true,
  logLevel: "warning",
  // wasm-bindgen imports a file of snippets once for each of its functions.
  logOverride: { "duplicate-object-key": "silent" },
  outdir: "dist",
};
const commonjs = { ...common, format: "cjs", outExtension: { ".js": ".cjs" } };
// The entries share one file, so that a program that imports two of them has one set of
// classes. That file imports `frames` when there is a reader: a page that does not read does not
// load it. It is built by itself, because what it shares with the others would be a second file.
const frames = "./frames.js";
await build({ ...common, format: "esm", entryPoints: { frames: "src/frames.ts" } });
await build({
  ...common,
  format: "esm",
  splitting: true,
  chunkNames: "shared",
  external: [...common.external, frames],
  entryPoints: {
    node: "src/node.ts",
    web: "src/web.ts",
    workerd: "src/workerd.ts",
    inline: "src/inline.ts",
  },
});
await build({
  ...commonjs,
  entryPoints: { node: "src/node-require.ts", inline: "src/inline.ts" },
});
rmSync("dist/distributedlog.bin");
// Entries of their own, which cost a page nothing. The files that they share with the others are
// in each of them: in the others' shared file they would count for every page.
const entryPoints = { admin: "src/admin.ts", streams: "src/streams.ts" };
await build({ ...common, format: "esm", entryPoints });
await build({ ...commonjs, entryPoints });
// Writers and readers with diagnostics are derived from those of the main entry.
const external = (path) => ({
  name: "main entry",
  setup: (to) => to.onResolve({ filter: /^\.\/node\.js$/ }, () => ({ path, external: true })),
});
const diagnostics = { entryPoints: { diagnostics: "src/diagnostics.ts" }, platform: "node" };
await build({ ...common, ...diagnostics, format: "esm", plugins: [external("./node.js")] });
await build({ ...commonjs, ...diagnostics, plugins: [external("./node.cjs")] });

// `import` and `require` have the same types, but a types file must have the ending of its kind.
for (const [types, entry] of [
  ["index", "index"],
  ["admin", "admin"],
  ["streams", "streams"],
  ["node", "diagnostics"],
]) {
  const text = readFileSync(`types/${types}.d.ts`, "utf8");
  writeFileSync(`dist/${entry}.d.ts`, text);
  writeFileSync(`dist/${entry}.d.cts`, text.replaceAll('"./index.js"', '"./index.cjs"'));
}
copyFileSync("../../LICENSE", "LICENSE");
