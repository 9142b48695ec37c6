// Repeats a request while the page is visible, and less and less often while it fails.

const MOST_MS = 30_000;

/** @param {() => Promise<void>} work @param {number} everyMs @returns {{now: () => void, stop: () => void}} */
export function poll(work, everyMs) {
  let timer;
  let failures = 0;
  let running = false;
  let again = false;
  let stopped = false;
  async function run() {
    clearTimeout(timer);
    if (stopped) return;
    if (document.hidden) return;
    if (running) {
      again = true;
      return;
    }
    running = true;
    again = false;
    try {
      await work();
      failures = 0;
    } catch (error) {
      if (error.name !== "AbortError") failures++;
    }
    running = false;
    if (stopped) return;
    timer = setTimeout(run, again ? 0 : Math.min(everyMs * 2 ** Math.min(failures, 5), Math.max(MOST_MS, everyMs)));
  }
  const shown = () => !document.hidden && run();
  document.addEventListener("visibilitychange", shown);
  run();
  return {
    now: run,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    },
  };
}
