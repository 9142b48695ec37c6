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
