import type { Known } from "../types/index.js";
import {
  AbortedError,
  ClosedError,
  ExhaustedError,
  type FailureDetails,
  ForbiddenError,
  FullError,
  RefusedError,
  TimedOutError,
  TooLargeError,
  type WriteError,
} from "./errors.js";

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

/** Returns the error of a write for which there is not even room to wait. */
export const full = (setting: string, most: number): FullError =>
  new FullError("FULL", `too many writes wait for room: ${setting} is ${most}`, {
    known: "notWritten",
    attempts: 0,
  });

/**
 * Returns the error of a write that waited for room until a setting's time was over. `cause` is the
 * server's last failure to respond.
 */
export const noRoom = (setting: string, cause: unknown): TimedOutError =>
  new TimedOutError("TIMED_OUT", `${setting} elapsed while the write waited for room`, {
    known: "notWritten",
    attempts: 0,
    cause,
  });

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
