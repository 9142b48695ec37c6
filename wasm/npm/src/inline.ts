// The bundle's own loader makes bytes of the file: no second request, and nothing for other bundlers to copy.
import bytes from "../dist/distributedlog.bin";

import { setSource } from "./load.js";

setSource(() => bytes);

export * from "./package.js";
