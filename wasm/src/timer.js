// Arms a timer that keeps no process alive: only a pending write does
// (`wasm/npm/src/keep-alive.ts`). The runner leaves its timer armed after the last response,
// because arming costs more than firing in vain.
export function arm(then, milliseconds) {
  const timer = setTimeout(then, milliseconds);
  timer.unref?.();
  return timer;
}
