// Made from the settings' table; do not edit. To make it anew:
// UPDATE_SNAPSHOTS=1 cargo test -p distributedlog-tests --test settings

/** The valid values of each setting. */
export const VALID: Record<string, string> = {
  requestTimeout: "1 ns to 30 days",
  hedging: "true or false",
  firstSpeculativeTimeout: "1 us to maxSpeculativeTimeout if hedging",
  maxSpeculativeTimeout: "below requestTimeout if hedging",
  speculativeBackoffMultiplier: "1.0 to 1000.0",
  bufferSize: "0 B to 1016 KiB",
  flushInterval: "below requestTimeout",
  flushWhenIdle: "true or false",
  inFlightSets: "1 to 65000",
  bufferedBytes: "64 B to 1 TiB",
  pendingRecords: "1 to 2147483648",
  seed: "any",
  rounds: "limit none or at least 1, firstBackoff 1 us to rounds.maxBackoff, maxBackoff 1 us to 30 days",
  budget: "share above 0 to 1.0, perSecond 0 to 1000000, burst 1 to 1000000",
  health: "strikes at least 1, firstBackoff 1 us to maxBackoff, maxBackoff 1 us to 30 days",
  window: "share, off, or 1 to 65535",
  adaptive: "quantile 0.5 to 0.9999, floor 0 ns to the maxSpeculativeTimeout, warmUp at least 1",
  waitOutStalls: "true or false",
  maxCoolDown: "0 ns to 30 days",
  identity: "true or false",
};

export const NUMBERS = ["requestTimeout", "firstSpeculativeTimeout", "maxSpeculativeTimeout", "speculativeBackoffMultiplier", "bufferSize", "flushInterval", "inFlightSets", "bufferedBytes", "pendingRecords", "seed", "maxCoolDown"] as const;

export const SWITCHES = ["hedging", "flushWhenIdle", "waitOutStalls"] as const;

/** Groups of settings with their fields; `window` is a number. */
export const GROUPS = {
  rounds: ["limit", "firstBackoff", "maxBackoff"],
  budget: ["share", "perSecond", "burst"],
  health: ["strikes", "firstBackoff", "maxBackoff"],
  window: [],
  adaptive: ["quantile", "floor", "warmUp"],
} as const;
