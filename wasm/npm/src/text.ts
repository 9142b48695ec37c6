/** Returns the message of an error, also of another realm's, such as the one that jest runs tests in. */
export function messageOf(error: unknown): string {
  return String((error as Error | undefined)?.message ?? error);
}

export function causeOf(error: unknown): unknown {
  return (error as Error | undefined)?.cause;
}

export function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/**
 * Returns the text of a server with its control characters, line ends and characters that change the
 * direction of text escaped: it must not act on the terminal or the log that shows it.
 */
export function escaped(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu,
    (found) => `\\u{${found.codePointAt(0)?.toString(16)}}`,
  );
}
