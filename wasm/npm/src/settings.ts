import { WriterSettings } from "../dist/glue/distributedlog.js";
import type { MultiStreamWriterOptions } from "../types/index.js";
import { SettingsError } from "./errors.js";

/** What each setting may be; the module checks it, and names the one that is not. */
const EXPECTED: Record<string, string> = {
  streams: "a list of 1 to 256 names",
  bufferSize: "a number of bytes",
  flushInterval: "below requestTimeout",
  flushWhenIdle: "true or false",
  hedging: "true or false",
  requestTimeout: "above 0 and at most 30 days",
  firstSpeculativeTimeout: "above 0 and at most maxSpeculativeTimeout",
  maxSpeculativeTimeout: "below requestTimeout",
  speculativeBackoffMultiplier: "within 1 to 1000",
  seed: "a number",
  connections: "at least 1",
  inFlightSets: "within 1 to 65000",
  bufferedBytes: "within 64 bytes and half of the memory that a module can have",
  pendingRecords: "within 1 to 2^31",
  rounds: "a limit of at least 1, and pauses of at most 30 days, the first above 0 and not above the longest",
  budget: "a share above 0 and at most 1, tokens a second of at most 1000000, and a burst of 1 to 1000000",
  health: "at least 1 strike, and pauses of at most 30 days, the first above 0 and not above the longest",
  adaptive: "a quantile of 0.5 to 0.9999, a floor of at most maxSpeculativeTimeout, and a warm-up of at least 1",
  window: "at least 1",
};

const NUMBERS = [
  "bufferSize",
  "flushInterval",
  "requestTimeout",
  "firstSpeculativeTimeout",
  "maxSpeculativeTimeout",
  "speculativeBackoffMultiplier",
  "seed",
  "connections",
  "inFlightSets",
  "bufferedBytes",
  "pendingRecords",
] as const;

const SWITCHES = ["flushWhenIdle", "hedging"] as const;

/** Each with its fields, in the order in which the module takes them. */
const POLICIES = {
  budget: ["share", "perSecond", "burst"],
  health: ["strikes", "firstBackoff", "maxBackoff"],
  adaptive: ["quantile", "floor", "warmUp"],
  window: [],
  rounds: ["limit", "firstBackoff", "maxBackoff"],
} as const;

/** Options that are none of the module's. */
const OTHERS = ["url", "fetch", "headers", "token", "streams", "flushOnPageHide", "identity", ...SWITCHES];

/** The refusal of a setting, which the module names as Rust does. */
export function refusal(name: string, options: MultiStreamWriterOptions): SettingsError {
  const setting = name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const value: unknown = (options as unknown as Record<string, unknown>)[setting];
  const shown = typeof value === "object" && value !== null ? JSON.stringify(value) : value;
  return new SettingsError(setting, shown, EXPECTED[setting] ?? "legal");
}

/** Refuses what has the wrong type or an unknown name: what a compiler would, for those who have none. */
export function check(options: MultiStreamWriterOptions): void {
  const known = new Set<string>([...NUMBERS, ...Object.keys(POLICIES), ...OTHERS]);
  for (const [name, value] of Object.entries(options)) {
    if (!known.has(name)) throw new SettingsError(name, value, `a setting; there are ${[...known].join(", ")}`);
  }
  for (const name of NUMBERS) {
    const value = options[name];
    if (value !== undefined && !isCount(value)) throw refusal(name, options);
  }
  checkStreams(options.streams);
}

export function checkStreams(streams: unknown): asserts streams is readonly string[] {
  const legal = Array.isArray(streams) && streams.length > 0 && streams.length <= 256;
  if (!legal || !streams.every((name) => typeof name === "string" && name !== "")) {
    throw new SettingsError("streams", JSON.stringify(streams), EXPECTED["streams"] ?? "");
  }
  const twice = streams.find((name, index) => streams.indexOf(name) !== index);
  if (twice !== undefined) throw new SettingsError("streams", twice, "named once");
}

export function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value !== Number.POSITIVE_INFINITY;
}

/** The module's settings. The caller frees them. */
export function moduleSettings(options: MultiStreamWriterOptions): WriterSettings {
  const settings = new WriterSettings();
  for (const name of NUMBERS) {
    const value = options[name];
    if (value !== undefined) settings.set(name, value);
  }
  if (options.rounds?.limit === 0) throw refusal("rounds", options);
  for (const name of SWITCHES) {
    const value = options[name];
    if (value !== undefined) settings.set(name, value ? 1 : 0);
  }
  if (options.identity === false) settings.set_policy("identity", new Float64Array());
  for (const [name, fields] of Object.entries(POLICIES) as [keyof typeof POLICIES, readonly string[]][]) {
    // A round's fields can be left out, a policy's cannot: they go together.
    const value: unknown = name === "rounds" && options.rounds ? { limit: 0, firstBackoff: 10, maxBackoff: 1000, ...options.rounds } : options[name];
    if (value !== undefined) settings.set_policy(name, numbersOf(value, fields) ?? raise(refusal(name, options)));
  }
  return settings;
}

/** The numbers of a policy as the module takes them. */
function numbersOf(value: unknown, fields: readonly string[]): Float64Array | undefined {
  if (value === false) return new Float64Array();
  if (value === true) return Float64Array.of(Number.NaN);
  const numbers = typeof value === "number" ? [value] : fields.map((field) => (value as Record<string, unknown>)[field]);
  return numbers.every(isCount) ? Float64Array.from(numbers) : undefined;
}

function raise(error: Error): never {
  throw error;
}
