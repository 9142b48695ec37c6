// Compiled, never run: the compiler checks that the package exports what its types declare.
import type * as PublicAdmin from "../types/admin.js";
import type * as Public from "../types/index.js";
import type * as PublicStreams from "../types/streams.js";
import * as Admin from "./admin.js";
import * as Diagnostics from "./diagnostics.js";
import * as Package from "./package.js";
import * as Streams from "./streams.js";

export const published: typeof Public = Package;
export const publishedWithDiagnostics: typeof Public = Diagnostics;
export const publishedAdmin: typeof PublicAdmin = Admin;
export const publishedStreams: typeof PublicStreams = Streams;
