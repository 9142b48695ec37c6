import { WriterSettings } from "../dist/glue/distributedlog.js";
import type { MultiStreamWriterOptions } from "../types/index.js";
import { SettingsError } from "./errors.js";
import { GROUPS, NUMBERS, SWITCHES, VALID } from "./settings-table.js";

/** The valid values of each setting; the module checks them, and names the setting that is refused. */
const EXPECTED: Record<string, string> = { ...VALID, streams: "a list of 1 to 256 names", connections: "at least 1" };

/** Numbers of this package and of the table. */
const ALL_NUMBERS = ["connections", ...NUMBERS] as const;

/** Options that are not the module's. */
const OTHERS = ["url", "fetch", "headers", "token", "streams", "flushOnPageHide", "identity", ...SWITCHES];

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
  const known = new Set<string>([...ALL_NUMBERS, ...Object.keys(GROUPS), ...OTHERS]);
  for (const [name, value] of Object.entries(options)) {
    if (!known.has(name)) throw new SettingsError(name, value, `a setting; there are ${[...known].join(", ")}`);
  }
  for (const name of ALL_NUMBERS) {
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

/** The module's settings. The caller frees them. */
export function moduleSettings(options: MultiStreamWriterOptions): WriterSettings {
  const settings = new WriterSettings();
  for (const name of ALL_NUMBERS) {
    const value = options[name];
    if (value !== undefined) settings.set(inRust(name), value);
  }
  for (const name of SWITCHES) {
    const value = options[name];
    if (value !== undefined) settings.set_switch(inRust(name), Boolean(value));
  }
  if (options.identity === false) settings.set_switch("identity", false);
  for (const [name, fields] of Object.entries(GROUPS) as [keyof typeof GROUPS, readonly string[]][]) {
    const value: unknown = options[name];
    if (value !== undefined && !setGroup(settings, name, fields, value)) throw refusal(name, options);
  }
  return settings;
}

/** Sets a group to a switch, a number or its fields. A round's fields can be left out; others go together. */
function setGroup(settings: WriterSettings, name: string, fields: readonly string[], value: unknown): boolean {
  if (typeof value === "boolean") return settings.set_switch(name, value);
  if (typeof value === "number") return isCount(value) && settings.set(name, value);
  if (typeof value !== "object" || value === null) return false;
  return fields.every((field) => {
    const number = (value as Record<string, unknown>)[field];
    if (number === undefined && name === "rounds") return true;
    return isCount(number) && settings.set(`${name}.${inRust(field)}`, number);
  });
}

/** The name that a setting has in Rust. */
function inRust(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
