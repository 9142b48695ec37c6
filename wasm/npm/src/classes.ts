// The classes that the package exports.
export { Dlsn } from "./dlsn.js";
export * from "./errors.js";
export { MultiStreamReader } from "./reader.js";
export { MultiStreamWriter } from "./writer.js";
