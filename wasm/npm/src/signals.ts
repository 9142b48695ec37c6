/** Functions to call when a signal is aborted, by signal. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `call` once the signal is aborted, until the returned function is called. Each signal has
 * one listener, however many wait for it: Node warns of more than ten.
 */
export function onAbort(signal: AbortSignal, call: () => void): () => void {
  let calls = waiting.get(signal);
  if (calls === undefined) {
    const all = new Set<() => void>();
    calls = all;
    waiting.set(signal, all);
    signal.addEventListener("abort", () => all.forEach((each) => each()), { once: true });
  }
  calls.add(call);
  return () => calls.delete(call);
}
