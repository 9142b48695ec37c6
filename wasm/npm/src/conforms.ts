// Compiled, never run: the compiler checks that the package exports what its types declare.
import type * as Public from "../types/index.js";
import * as Package from "./package.js";

export const published: typeof Public = Package;
