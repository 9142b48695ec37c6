// Elements, numbers and times. Texts become text nodes: nothing here parses HTML, whatever a record or a name contains.

/**
 * Makes an element. Properties that begin with `on` are listeners, `class` and others attributes; one that is `false`, `null` or
 * `undefined` is left out. Children are nodes and texts.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Sets an element's text, if it is another one: screen readers and selections are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Stands for a value that is not known. */
export const NONE = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function count(number) {
  return number === null || number === undefined ? NONE : whole.format(number);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(number) {
  if (number === null || number === undefined) return NONE;
  let unit = 0;
  while (number >= 1000 && unit < UNITS.length - 1) {
    number /= 1024;
    unit++;
  }
  return `${unit === 0 ? whole.format(number) : short.format(number)} ${UNITS[unit]}`;
}

export function perSecond(number) {
  if (number === null || number === undefined) return NONE;
  return number >= 100 ? whole.format(number) : short.format(number);
}

export function micros(us) {
  if (us === null || us === undefined) return NONE;
  if (us < 1000) return `${us} µs`;
  return us < 1_000_000 ? `${short.format(us / 1000)} ms` : `${short.format(us / 1_000_000)} s`;
}

const SPANS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

/** Returns a time span in its largest unit: `3 d`. */
export function span(ms) {
  for (const [unit, name] of SPANS) if (ms >= unit) return `${whole.format(Math.floor(ms / unit))} ${name}`;
  return "0 s";
}

export function ago(ms, now = Date.now()) {
  if (ms === null || ms === undefined) return NONE;
  return now - ms < 2000 ? "now" : `${span(now - ms)} ago`;
}

/** Returns a time to the millisecond, in UTC as logs have it. */
export function stamp(ms) {
  return ms === null || ms === undefined ? NONE : new Date(ms).toISOString().replace("T", " ").replace("Z", "");
}

export function retention(kept) {
  if (!kept) return NONE;
  const limits = [kept.age_ms && span(kept.age_ms), kept.bytes && bytes(kept.bytes)].filter(Boolean);
  return limits.length > 0 ? limits.join(", ") : "forever";
}

/** Characters that would change what stands around them, or are not seen: they are shown by their numbers. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/gu;

export function printable(text) {
  return text.replace(HIDDEN, (character) => `\\u${character.codePointAt(0).toString(16).padStart(4, "0")}`);
}

/** Makes a sentence of a problem's detail. */
export function sentence(text) {
  const shown = printable(text);
  return `${shown.slice(0, 1).toUpperCase()}${shown.slice(1)}${/[.!?]$/.test(shown) ? "" : "."}`;
}

/** Saves bytes or texts as a file of the browser's user. */
export function download(name, parts, type = "application/octet-stream") {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** An elaborate text for a state without data. */
export const empty = (title, ...more) => h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), ...more);
