import type { ConnectionOptions, Dlsn, Known } from "./index.js";
import { DistributedLogError } from "./index.js";

/** Options of {@link StreamAdmin}. */
export interface StreamAdminOptions extends ConnectionOptions {
  /** Maximum time of a request, in milliseconds. Default: 10000. */
  timeout?: number;
}

/** Options of {@link StreamAdmin.list}. */
export interface ListOptions {
  /** Lists only names that begin with it. Default: all. */
  prefix?: string;
  /** Lists only names that this regular expression matches as a whole. Default: all. */
  filter?: string;
}

/** What a proxy knows of a stream. */
export interface StreamInfo {
  /** Name of the stream. */
  readonly stream: string;
  /** Time of its creation, in milliseconds since 1970. */
  readonly createdMs: number;
  /** Position of the first record. `undefined` if there is none. */
  readonly first: Dlsn | undefined;
  /** Position of the last record. `undefined` if there is none. */
  readonly last: Dlsn | undefined;
  /** Position before which records were discarded. `undefined` if none were. */
  readonly truncatedBefore: Dlsn | undefined;
  /** Proxy that owns the stream. `undefined` if none does. */
  readonly owner: { readonly shard: number; readonly address: string } | undefined;
  /** Log segments, from the first to the last. */
  readonly segments: readonly SegmentInfo[];
}

/** A log segment of a stream. */
export interface SegmentInfo {
  /** Sequence number, from 1. */
  readonly logSegment: number;
  /** True if no further entry is added. */
  readonly completed: boolean;
  /** Number of entries. */
  readonly entries: number;
  /** Number of records. */
  readonly records: number;
  /** Bytes of the records. */
  readonly payloadBytes: number;
  /** Time of the first entry, in milliseconds since 1970. */
  readonly firstMs: number;
  /** Time of the last entry, in milliseconds since 1970. */
  readonly lastMs: number;
}

/** Limits beyond which whole log segments are discarded. */
export interface Retention {
  /** Age in milliseconds. Default: no limit. */
  ageMs?: number | undefined;
  /** Bytes of the stream. Default: no limit. */
  bytes?: number | undefined;
}

/** The limits that apply. */
export interface AppliedRetention extends Retention {
  /** True if they were set for this stream, or for the namespace; false if they are inherited. */
  readonly own: boolean;
}

/**
 * Creates, deletes, truncates, describes and lists streams. Every method rejects with an
 * {@link AdminError}.
 *
 * ```js
 * const admin = new StreamAdmin({ url: "http://127.0.0.1:8002" });
 * await admin.create("orders-1");
 * for await (const stream of admin.list({ prefix: "orders-" })) console.log(stream);
 * ```
 */
export class StreamAdmin {
  /** @throws {SettingsError} if an option is invalid. */
  constructor(options: StreamAdminOptions);

  /** Yields the names of the streams in order, page by page. */
  list(options?: ListOptions): AsyncGenerator<string, void, void>;

  /** Creates a stream. Returns `false` if it exists. */
  create(stream: string): Promise<boolean>;

  /** Deletes a stream and its records. */
  delete(stream: string): Promise<void>;

  /** Discards the records before a position or a time. */
  truncate(stream: string, before: Dlsn | Date | string): Promise<void>;

  /** Describes a stream. */
  info(stream: string): Promise<StreamInfo>;

  /** Returns the retention that applies to a stream, or to the namespace. */
  retention(stream?: string): Promise<AppliedRetention>;

  /** Sets the retention of a stream, or of the namespace (`undefined`). */
  setRetention(stream: string | undefined, limits: Retention): Promise<AppliedRetention>;

  /** Removes the retention of a stream or of the namespace, which then inherits it. */
  removeRetention(stream?: string): Promise<AppliedRetention>;
}

/**
 * A request failed. `code` is the name of the proxy's problem (`LOG_NOT_FOUND`, `REQUEST_DENIED`, …),
 * or `UNREACHABLE`, `LOST`, `FORBIDDEN` (CORS), `TIMED_OUT`, or `REFUSED` for a response without one.
 */
export class AdminError extends DistributedLogError {
  /** HTTP status. `undefined` without a response. */
  readonly status: number | undefined;
  /** `"unknown"`: what was asked for may have been done. */
  readonly known: Known;
}
