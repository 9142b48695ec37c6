/**
 * The package for Node, Deno and Bun, with writers and readers that publish what they do in
 * `node:diagnostics_channel`:
 *
 * - `distributedlog:attempt`: an {@link AttemptReport} with `writer`, after each request.
 * - `distributedlog:write`: `{ writer, duration, stream, dlsn, attempts }` or `{ writer, duration,
 *   error }` after each write.
 * - `distributedlog:fault`: a {@link StreamFault} with `reader`, of readers that were created after
 *   the subscription.
 *
 * Without subscribers they cost nothing but the question.
 */
export * from "./index.js";
