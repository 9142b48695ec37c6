import { readFileSync } from "node:fs";

import { setSource } from "./load.js";

setSource(
  () => new WebAssembly.Module(readFileSync(new URL("./distributedlog_bg.wasm", import.meta.url))),
);

export * from "./package.js";
