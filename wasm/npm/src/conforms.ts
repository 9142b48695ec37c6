// Compiled, never run: what is published is what the types say.
import type * as Public from "../types/index.js";
import * as Package from "./package.js";

export const published: typeof Public = Package;
