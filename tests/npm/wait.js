// Waiting for events, with a limit that only a hanging test reaches.

const LIMIT_MS = 60_000;

/** Returns a promise that rejects after 60 s unless `begin` settles it. */
export function withTimeout(what, begin) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`waited ${LIMIT_MS / 1000} s for ${what}`)),
      LIMIT_MS,
    );
    const over = (end) => (value) => {
      clearTimeout(timer);
      end(value);
    };
    begin(over(resolve), over(reject));
  });
}

/**
 * Polls `condition` every 20 ms until it returns a truthy value, for at most 60 s. Returns that
 * value.
 */
export async function until(what, condition) {
  const end = performance.now() + LIMIT_MS;
  while (performance.now() < end) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${LIMIT_MS / 1000} s until ${what}`);
}

/** Returns the quantile `share`, 0 to 1, of `values`. */
export function quantile(values, share) {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
