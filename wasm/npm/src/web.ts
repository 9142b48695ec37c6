import { setSource } from "./load.js";

// Bundlers recognise this form and copy the file.
setSource(() => new URL("./distributedlog_bg.wasm", import.meta.url));

export * from "./package.js";
