import type { Known, ReadErrorCode, WriteErrorCode } from "../types/index.js";

export class DistributedLogError extends Error {
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    // Set by `package.ts`, because minifiers rename classes.
    this.name = new.target.name;
  }
}

export class SettingsError extends DistributedLogError {
  declare readonly code: "SETTINGS";
  readonly setting: string;

  constructor(setting: string, value: unknown, expected: string) {
    super("SETTINGS", `${setting}: ${shown(value)} is not ${expected}`);
    this.setting = setting;
  }
}

export class LoadError extends DistributedLogError {
  declare readonly code: "LOAD";

  constructor(cause: unknown) {
    super(
      "LOAD",
      `the WebAssembly module of distributedlog could not be loaded: ${messageOf(cause)}`,
      cause,
    );
  }
}

export class WriteError extends DistributedLogError {
  declare readonly code: WriteErrorCode;
  readonly known: Known;
  readonly attempts: number;
  readonly status: number | undefined;

  constructor(
    code: WriteErrorCode,
    summary: string,
    { known, attempts, status, cause }: FailureDetails,
  ) {
    const after = attempts === 0 ? "" : ` after ${attempts} attempt${attempts === 1 ? "" : "s"}`;
    const last = cause === undefined ? "" : `; last failure: ${messageOf(cause)}`;
    super(code, `${summary}${after} (${KNOWN[known]})${last}`, cause);
    this.known = known;
    this.attempts = attempts;
    this.status = status;
  }
}

interface FailureDetails {
  known: Known;
  attempts: number;
  status?: number | undefined;
  cause?: unknown;
}

const KNOWN: Record<Known, string> = {
  notWritten: "not written",
  rejected: "rejected",
  unknown: "unknown whether written",
};

export class TooLargeError extends WriteError {
  declare readonly code: "TOO_LARGE";
}

export class RefusedError extends WriteError {
  declare readonly code: "REFUSED" | "FORBIDDEN";
}

export class ForbiddenError extends RefusedError {
  declare readonly code: "FORBIDDEN";
}

export class ExhaustedError extends WriteError {
  declare readonly code: "EXHAUSTED";
}

export class TimedOutError extends WriteError {
  declare readonly code: "TIMED_OUT";
}

export class ClosedError extends WriteError {
  declare readonly code: "CLOSED";
}

export class AbortedError extends WriteError {
  declare readonly code: "ABORTED";
}

export class ReadError extends DistributedLogError {
  declare readonly code: ReadErrorCode;
  readonly status: number | undefined;
  readonly streams: readonly string[];

  constructor(
    code: ReadErrorCode,
    message: string,
    status?: number,
    streams: string | readonly string[] = [],
    cause?: unknown,
  ) {
    super(code, message, cause);
    this.status = status;
    this.streams = [streams].flat();
  }
}

/**
 * The browser forbids this page to use the server. Browsers hide this; `Server` finds it out by a
 * probe.
 */
export class CorsProblem extends Error {}

export const tooLarge = (length: number, most: number): TooLargeError =>
  new TooLargeError(
    "TOO_LARGE",
    `the record has ${length} bytes; a record set holds at most ${most}`,
    { known: "rejected", attempts: 0 },
  );

export const closed = (): ClosedError =>
  new ClosedError("CLOSED", "the writer was closed", { known: "notWritten", attempts: 0 });

/** Returns the error of a write whose signal was aborted. */
export const aborted = (known: Known, reason: unknown): AbortedError =>
  new AbortedError("ABORTED", "the write was aborted", { known, attempts: 0, cause: reason });

/** Returns the error of a failed write, by the name of the reason that the module reports. */
export function failed(reason: string, details: FailureDetails): WriteError {
  switch (reason) {
    case "too-large":
      return new TooLargeError(
        "TOO_LARGE",
        "the record is larger than a record set may be",
        details,
      );
    case "refused":
      return details.cause instanceof CorsProblem
        ? new ForbiddenError("FORBIDDEN", "the record was refused", details)
        : new RefusedError("REFUSED", "the record was refused", details);
    case "exhausted":
      return new ExhaustedError(
        "EXHAUSTED",
        "every stream was tried as often as the settings allow",
        details,
      );
    case "timed-out":
      return new TimedOutError("TIMED_OUT", "requestTimeout elapsed", details);
    default:
      return new ClosedError("CLOSED", "the writer was closed", details);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
