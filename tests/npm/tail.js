import assert from "node:assert/strict";

import { quantile } from "./wait.js";

const ROUNDS = 8;
const TRIES = 5;

/** Measures by how much timers of `ms` are late. Returns a function that ends it and returns them. */
function measureLateness(ms) {
  const late = [];
  const timer = () => {
    const began = performance.now();
    return setTimeout(() => {
      late.push(performance.now() - began - ms);
      pending = timer();
    }, ms).unref();
  };
  let pending = timer();
  return () => {
    clearTimeout(pending);
    return late;
  };
}

/**
 * Asserts the promise about the tail: while one stream stalls, the 99th percentile of sequential
 * writes stays below the first speculative timeout plus the healthy 99th percentile, and the time
 * by which other load on the machine delays timers meanwhile.
 *
 * Load may still affect one measurement and not the other, so they are repeated up to five times.
 */
export async function assertStalledTail(t, { firstSpeculativeMs, stall, clear, write }) {
  for (let tries = 1; ; tries++) {
    const took = { healthy: [], stalled: [] };
    const late = measureLateness(firstSpeculativeMs);
    // Alternating, so that other load on the machine affects both.
    for (let round = 0; round < ROUNDS; round++) {
      const stalls = round % 2 === 1;
      await (stalls ? stall() : clear());
      (stalls ? took.stalled : took.healthy).push(...(await write(`${tries}/${round}`)));
    }
    await clear();
    const [healthy, stalled] = [took.healthy, took.stalled].map((each) => quantile(each, 0.99));
    const lateness = quantile(late(), 0.99);
    t.diagnostic(
      `healthy p99 ${healthy.toFixed(1)} ms, with a stalled stream ${stalled.toFixed(1)} ms, ` +
        `timers late by ${lateness.toFixed(1)} ms`,
    );
    if (stalled < firstSpeculativeMs + healthy + lateness) return;
    assert.ok(tries < TRIES, `${stalled} ms in the last of ${TRIES} tries`);
  }
}
