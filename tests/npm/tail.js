import assert from "node:assert/strict";

import { quantile } from "./wait.js";

const ROUNDS = 8;
const TRIES = 5;

/**
 * Holds the 99th percentile of writes, one at a time, while one stream stalls to what was promised: the first speculative timeout and the
 * healthy 99th percentile.
 *
 * The bound has no allowance for what else the machine does: where that delays a timer, all is measured again.
 */
export async function assertStalledTail(t, { firstSpeculativeMs, stall, clear, write }) {
  for (let tries = 1; ; tries++) {
    const took = { healthy: [], stalled: [] };
    // In turns, so that what else the machine does is in both.
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
