// The public errors, and nothing else: `package.ts` publishes all that this file exports.
import type { Known, ReadErrorCode, WriteErrorCode } from "../types/index.js";
import { isInstance } from "./brand.js";
import { messageOf, shown } from "./text.js";

export class DistributedLogError extends Error {
  readonly code: string;

  static override [Symbol.hasInstance] = isInstance;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    // Set by `publish`.
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
      `the WebAssembly module of distributedlog could not be loaded: ${messageOf(cause)}; ${
        /unsafe-eval|CSP|Content.Security/.test(messageOf(cause))
          ? "the page's content security policy needs script-src 'wasm-unsafe-eval'"
          : "a bundle needs distributedlog_bg.wasm beside it, or the import distributedlog/inline"
      }`,
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

export interface FailureDetails {
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

export class FullError extends WriteError {
  declare readonly code: "FULL";
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
