import { readFileSync } from "node:fs";

import { setSource } from "./load.js";

declare const __dirname: string;

setSource(() => new WebAssembly.Module(readFileSync(`${__dirname}/distributedlog_bg.wasm`)));

export * from "./package.js";
