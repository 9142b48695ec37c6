// workerd compiles the module before the program starts, and hands it over compiled.
import module from "./distributedlog_bg.wasm";

import { setSource } from "./load.js";

setSource(() => module);

export * from "./package.js";
