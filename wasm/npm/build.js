// Builds the package's files from the output of wasm-bindgen in dist/glue. Called by wasm/build.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";

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

const common = {
  bundle: true,
  target: "es2022",
  minify: true,
  legalComments: "none",
  loader: { ".bin": "binary" },
  external: ["node:fs", "./distributedlog_bg.wasm"],
  logLevel: "warning",
  outdir: "dist",
};
// The entries share one file, so that a program that imports two of them has one set of
// classes.
await build({
  ...common,
  format: "esm",
  splitting: true,
  chunkNames: "shared",
  entryPoints: {
    node: "src/node.ts",
    web: "src/web.ts",
    workerd: "src/workerd.ts",
    inline: "src/inline.ts",
  },
});
await build({
  ...common,
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  entryPoints: { node: "src/node-require.ts", inline: "src/inline.ts" },
});
rmSync("dist/distributedlog.bin");
// `import` and `require` have the same types, but a types file must have the ending of its kind.
copyFileSync("types/index.d.ts", "dist/index.d.ts");
copyFileSync("types/index.d.ts", "dist/index.d.cts");
copyFileSync("../../LICENSE", "LICENSE");
