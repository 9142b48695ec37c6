import type { MultiStreamWriterOptions } from "../types/index.js";
import { SettingsError } from "./errors.js";
import { GROUPS, NUMBERS, SWITCHES, VALID } from "./settings-table.js";

/** The valid values of each setting; the module checks them, and names the setting that is refused. */
const EXPECTED: Record<string, string> = { ...VALID, streams: "a list of 1 to 256 names", connections: "at least 1" };

/** Defaults of the bounds that this half keeps. Those of the table are checked by a test. */
const BOUNDS = {
  requestTimeout: 10_000,
  pendingRecords: 16_384,
  bufferedBytes: 33_554_432,
  waitingRecords: 100_000,
  waitingBytes: 33_554_432,
  waitTimeout: 60_000,
};

/** Numbers of this package alone, and those that are also the module's. */
const OWN_NUMBERS = ["waitingRecords", "waitingBytes", "waitTimeout"] as const;
const MODULE_NUMBERS = ["connections", ...NUMBERS] as const;

/** Options that are neither the module's nor numbers. */
const OTHERS = ["url", "fetch", "headers", "token", "streams", "flushOnPageHide", "onAttempt", "identity", ...SWITCHES];

/** Returns the bounds of what a writer holds, and for how long. */
export function bounds(options: MultiStreamWriterOptions): typeof BOUNDS {
  const given = Object.keys(BOUNDS).map((name) => [name, options[name as keyof typeof BOUNDS]]);
  return { ...BOUNDS, ...Object.fromEntries(given.filter(([, value]) => value !== undefined)) };
}

/**
 * Returns the default of `connections`, `undefined` for the module's own: what browsers open to one
 * server, and workerd for a request. Node, Deno and Bun have no such limit; a page of Electron is a
 * browser's.
 */
function defaultConnections(): number | undefined {
  const { process, document, navigator } = globalThis as {
    process?: { versions?: { node?: string } };
    document?: unknown;
    navigator?: { userAgent?: string };
  };
  const limited = document !== undefined || navigator?.userAgent === "Cloudflare-Workers";
  return process?.versions?.node !== undefined && !limited ? 32 : undefined;
}

/** The refusal of a setting, which the module names as Rust does. */
export function refusal(name: string, options: MultiStreamWriterOptions): SettingsError {
  const [group = name] = name.split(".");
  const setting = group.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const value: unknown = (options as unknown as Record<string, unknown>)[setting];
  const shown = typeof value === "object" && value !== null ? JSON.stringify(value) : value;
  return new SettingsError(setting, shown, EXPECTED[setting] ?? "valid");
}

/** Refuses a value of the wrong type or an unknown name, as a compiler does, for users without one. */
export function check(options: MultiStreamWriterOptions): void {
  const known = new Set<string>([...MODULE_NUMBERS, ...OWN_NUMBERS, ...Object.keys(GROUPS), ...OTHERS]);
  for (const [name, value] of Object.entries(options)) {
    if (!known.has(name)) throw new SettingsError(name, value, `a setting; there are ${[...known].join(", ")}`);
  }
  for (const name of [...MODULE_NUMBERS, ...OWN_NUMBERS]) {
    const value = options[name];
    if (value !== undefined && !isCount(value)) throw refusal(name, options);
  }
  checkStreams(options.streams);
}

export function checkStreams(streams: unknown): asserts streams is readonly string[] {
  const valid = Array.isArray(streams) && streams.length > 0 && streams.length <= 256;
  if (!valid || !streams.every((name) => typeof name === "string" && name !== "")) {
    throw new SettingsError("streams", JSON.stringify(streams), EXPECTED["streams"] ?? "");
  }
  const twice = streams.find((name, index) => streams.indexOf(name) !== index);
  if (twice !== undefined) throw new SettingsError("streams", twice, "named once");
}

export function isCount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value !== Number.POSITIVE_INFINITY;
}

/**
 * Returns the names and values of the module's settings: `wasm/src/settings.rs`. A name behind a `!`
 * is a switch.
 */
export function moduleSettings(options: MultiStreamWriterOptions): [names: string, values: number[]] {
  const settings: Record<string, number> = {};
  const connections = defaultConnections();
  if (connections !== undefined) settings["connections"] = connections;
  for (const name of MODULE_NUMBERS) {
    const value = options[name];
    if (value !== undefined) settings[inRust(name)] = value;
  }
  for (const name of SWITCHES) {
    const value = options[name];
    if (value !== undefined) settings[`!${inRust(name)}`] = Number(Boolean(value));
  }
  if (options.identity === false) settings["!identity"] = 0;
  for (const [name, fields] of Object.entries(GROUPS) as [keyof typeof GROUPS, readonly string[]][]) {
    const value: unknown = options[name];
    if (value !== undefined && !setGroup(settings, name, fields, value)) throw refusal(name, options);
  }
  return [Object.keys(settings).join(), Object.values(settings)];
}

/** Sets a group to a switch, a number or its fields. A round's fields can be left out; others go together. */
function setGroup(settings: Record<string, number>, name: string, fields: readonly string[], value: unknown): boolean {
  if (typeof value === "boolean") settings[`!${name}`] = Number(value);
  else if (isCount(value)) settings[name] = value;
  else if (typeof value !== "object" || value === null) return false;
  else
    return fields.every((field) => {
      const number = (value as Record<string, unknown>)[field];
      if (number === undefined && name === "rounds") return true;
      if (!isCount(number)) return false;
      settings[`${name}.${inRust(field)}`] = number;
      return true;
    });
  return true;
}

/** The name that a setting has in Rust. */
function inRust(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
