// build.js loads the file as bytes into the bundle: no second request, and no file that other
// bundlers must copy.
import bytes from "../dist/distributedlog.bin";

import { setSource } from "./load.js";

setSource(() => bytes);

export * from "./package.js";
