import { setSource } from "./load.js";

// Written so that bundlers see the file and take it along.
setSource(() => new URL("./distributedlog_bg.wasm", import.meta.url));

export * from "./package.js";
