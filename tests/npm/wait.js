// Waiting for events, with a limit that only something that hangs reaches.

const LIMIT_MS = 60_000;

/** A promise that fails loudly instead of never. */
export function patience(what, begin) {
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

/** Looks again until it is so. */
export async function until(what, look) {
  const end = performance.now() + LIMIT_MS;
  while (performance.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${LIMIT_MS / 1000} s until ${what}`);
}

export function quantile(values, share) {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
