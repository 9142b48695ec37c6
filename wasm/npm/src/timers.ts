// The runtime's timers as they were when the package was imported: a program whose tests replace
// them by timers of their own still has its records sent and its connections kept.
export const { setTimeout, clearTimeout, setInterval, clearInterval, queueMicrotask } = globalThis;
export const now = performance.now.bind(performance);

/** Longest delay of `setTimeout`, 2^31 - 1 ms: a longer one fires at once. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;
