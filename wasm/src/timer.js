// A timer that keeps no process alive: what does, where there are processes, is an open write (`wasm/npm/src/alive.ts`). The runner leaves its
// timer armed after the last answer, because arming it anew costs more than one that fires for nothing.
export function arm(then, milliseconds) {
  const timer = setTimeout(then, milliseconds);
  timer.unref?.();
  return timer;
}
