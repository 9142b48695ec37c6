// Makes the package's files out of what wasm-bindgen wrote into dist/glue: wasm/build calls it.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";

import { build } from "esbuild";

process.chdir(import.meta.dirname);

// Debian's wasm-opt writes a broken module; npm's does not.
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
  // It holds the deepest kilobyte of the stack, which a program that does not overflow it never reaches: 240 bytes less.
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
  // Names of classes are what `console.log` and debuggers show.
  keepNames: true,
  legalComments: "none",
  loader: { ".bin": "binary" },
  external: ["node:fs", "./distributedlog_bg.wasm"],
  logLevel: "warning",
  outdir: "dist",
};
// What all entries share is one file, so that a program that comes in by two of them has one set of classes.
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
// The types of `import` and of `require` are the same; which of them a file describes, its ending says.
copyFileSync("types/index.d.ts", "dist/index.d.ts");
copyFileSync("types/index.d.ts", "dist/index.d.cts");
copyFileSync("../../LICENSE", "LICENSE");
