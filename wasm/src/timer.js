// The runtime's timers as they were when the package was imported (`wasm/npm/src/timers.ts` has the
// TypeScript half's).
const { setTimeout, clearTimeout, queueMicrotask } = globalThis;

export const now = performance.now.bind(performance);

// Arms a timer that keeps no process alive: only a pending write does
// (`wasm/npm/src/keep-alive.ts`). The runner leaves its timer armed after the last response,
// because arming costs more than firing in vain.
export function arm(then, milliseconds) {
  const timer = setTimeout(then, milliseconds);
  timer.unref?.();
  return timer;
}

export function disarm(timer) {
  clearTimeout(timer);
}

export function soon(then) {
  queueMicrotask(then);
}
