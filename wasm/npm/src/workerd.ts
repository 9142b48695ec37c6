// workerd compiles the module before the program starts, and passes it in compiled form.
import module from "./distributedlog_bg.wasm";

import { setSource } from "./load.js";

setSource(() => module);

export * from "./package.js";
