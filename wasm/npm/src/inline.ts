// build.js loads the file as base64 into the bundle: no second request, and no file that other
// bundlers must copy.
import module from "../dist/distributedlog.bin";

import { setSource } from "./load.js";
import { fromBase64 } from "./record.js";

setSource(() => fromBase64(module) as Uint8Array<ArrayBuffer>);

export * from "./package.js";
