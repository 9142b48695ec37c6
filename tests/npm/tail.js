import assert from "node:assert/strict";

import { quantile } from "./wait.js";

const ROUNDS = 8;
const TRIES = 5;

/**
 * Asserts the promise about the tail: while one stream stalls, the 99th percentile of sequential
 * writes stays below the first speculative timeout plus the healthy 99th percentile.
 *
 * The bound has no allowance for other load on the machine, so the measurement is repeated up to
 * five times.
 */
export async function assertStalledTail(t, { firstSpeculativeMs, stall, clear, write }) {
  for (let tries = 1; ; tries++) {
    const took = { healthy: [], stalled: [] };
    // Alternating, so that other load on the machine affects both.
    for (let round = 0; round < ROUNDS; round++) {
      const stalls = round % 2 === 1;
      await (stalls ? stall() : clear());
      (stalls ? took.stalled : took.healthy).push(...(await write(`${tries}/${round}`)));
    }
    await clear();
    const [healthy, stalled] = [took.healthy, took.stalled].map((each) => quantile(each, 0.99));
    t.diagnostic(
      `healthy p99 ${healthy.toFixed(1)} ms, with a stalled stream ${stalled.toFixed(1)} ms`,
    );
    if (stalled < firstSpeculativeMs + healthy) return;
    assert.ok(tries < TRIES, `${stalled} ms in the last of ${TRIES} tries`);
  }
}
