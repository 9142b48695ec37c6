/// <reference lib="esnext.disposable" />

/** A record: bytes as they are, or a string as UTF-8. */
export type RecordBytes = string | Uint8Array | ArrayBuffer | ArrayBufferView;

/** What is known of a record whose write failed. Only with `"unknown"` can writing it again duplicate it. */
export type Known = "notWritten" | "rejected" | "unknown";

/** The part of `fetch` that is used: that of browsers, Node, Deno, Bun, workerd, or one of your own. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>;

export interface FetchInit {
  method: "GET" | "POST";
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer>;
  signal?: AbortSignal;
  keepalive?: boolean;
  mode?: "cors" | "no-cors";
  cache?: "no-store";
}

export interface FetchResponse {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: FetchBody | null;
  text(): Promise<string>;
}

export interface FetchBody {
  getReader(): {
    read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
    cancel(reason?: unknown): Promise<void>;
  };
}

export interface ConnectionOptions {
  /** Where the write proxy serves HTTP, e.g. `http://127.0.0.1:8002`. A path in front of `/v1` is kept. */
  url: string | URL;
  /** What is called to reach it. Default: the global `fetch`. */
  fetch?: Fetch;
  /** Sent with every request. */
  headers?: Readonly<Record<string, string>>;
  /** Sent as `Authorization: Bearer …`. */
  token?: string;
}

/** Names, meaning and defaults are those of the Rust builder. Durations are in milliseconds. */
export interface WriterSettings {
  /** Bytes at which a record set is transmitted, 0 for each record at once. Default: 16384. */
  bufferSize?: number;
  /** How long the first record of a set waits for company; 0: no such timer. Below `requestTimeout`. Default: 2. */
  flushInterval?: number;
  /** Whether a set is transmitted at once while no other is in flight. Default: true. */
  flushWhenIdle?: boolean;
  /** How long after it was accepted a record's write completes at the latest. Default: 500. */
  requestTimeout?: number;
  /**
   * Whether a set whose attempt takes long is tried at the next stream as well. Without it a set goes on only after a failure, and the
   * speculative timeouts are not looked at. Default: true.
   */
  hedging?: boolean;
  /** How long a set waits for its first attempt before it is hedged: at most `maxSpeculativeTimeout`. Default: 50. */
  firstSpeculativeTimeout?: number;
  /** The longest a set waits before it is hedged again: below `requestTimeout`. Default: 200. */
  maxSpeculativeTimeout?: number;
  /** What a set's speculative timeout is multiplied by with each hedge: 1 to 1000. Default: 2. */
  speculativeBackoffMultiplier?: number;
  /** What the order of the streams and the jitter are made of. Default: random. */
  seed?: number;
  /** How many requests may be under way at a time. Default: 6, what browsers open to one server over HTTP/1.1; more do no harm over HTTP/2. */
  connections?: number;
  /** How many transmitted sets may be unfinished at a time. Default: two less than `connections`, which leaves two for hedges. */
  inFlightSets?: number;
  /** How many bytes may be buffered, those in flight included. Bounds the largest record too. Default: 32 MiB. */
  bufferedBytes?: number;
  /** How many records may be accepted and not completed. Default: 16384. */
  pendingRecords?: number;
  /** What happens after every stream was tried. Default: go round until the deadline, pausing 10 ms, then twice as long, at most 1 s. */
  rounds?: { limit?: number; firstBackoff?: number; maxBackoff?: number };
  /** The budget of extra attempts; `true`: what is recommended. Default: false. */
  budget?: boolean | { share: number; perSecond: number; burst: number };
  /** What is remembered of streams that stall or fail; `true`: what is recommended. Default: false. */
  health?: boolean | { strikes: number; firstBackoff: number; maxBackoff: number };
  /** Whether the speculative timeout follows the latency; `true`: what is recommended. Default: false. */
  adaptive?: boolean | { quantile: number; floor: number; warmUp: number };
  /** How many attempts may be outstanding at one stream; `true`: twice its share of the sets in flight. Default: true. */
  window?: boolean | number;
  /** Whether sets carry an identity by which merged readers tell their copies. Default: true, with 16 random bytes. */
  identity?: boolean;
  /** Whether what fills is sent when the page is hidden or left. Default: true, where there are pages. */
  flushOnPageHide?: boolean;
}

export interface MultiStreamWriterOptions extends ConnectionOptions, WriterSettings {
  /** The streams to write to, 1 to 256: each record goes to whichever answers first. */
  streams: readonly string[];
}

/** Where a record was written. */
export interface Written {
  /** The stream whose answer came first. */
  readonly stream: string;
  /** The record's position in it. */
  readonly dlsn: Dlsn;
  /** How many attempts were made for its set: above 1 it was hedged or retried, and copies may lie in other streams too. */
  readonly attempts: number;
}

export interface WriteOptions {
  /** Gives the write up. A record that was not accepted yet is not written; one that was is, and nobody is told where. */
  signal?: AbortSignal;
}

export interface CloseOptions {
  /** What is not completed after so many milliseconds fails with {@link ClosedError}. Default: no such limit beyond `requestTimeout`. */
  timeout?: number;
}

/** What a writer has done since it was made. */
export interface WriterStats {
  /** Records accepted. */
  readonly records: number;
  /** Bytes of the records accepted. */
  readonly bytes: number;
  readonly recordsWritten: number;
  readonly recordsFailed: number;
  /** Record sets transmitted, and those that an attempt completed. */
  readonly sets: number;
  readonly setsWritten: number;
  /** Requests made for them. */
  readonly attempts: number;
  /** Requests made because an earlier one had failed. */
  readonly retries: number;
  /** Requests made because an earlier one took too long; those that won; those that did not. */
  readonly hedgesSent: number;
  readonly hedgesWon: number;
  readonly hedgesWasted: number;
  /** Requests aborted. */
  readonly cancelled: number;
  readonly lateAnswers: number;
  readonly failures: number;
  readonly budgetExhausted: number;
  /** Hedges not sent because a proxy asked for less load. */
  readonly pushbacks: number;
  readonly probationEntries: number;
  readonly probationExits: number;
  /** Records that wait for room. */
  readonly waiting: number;
  readonly streams: Readonly<Record<string, StreamStats>>;
}

export interface StreamStats {
  /** Whether it takes its turn. */
  readonly healthy: boolean;
  /** The quantile of its recent latencies that the settings name, in milliseconds, once there are enough of them. */
  readonly latency: number | undefined;
  readonly attempts: number;
  readonly won: number;
  readonly failed: number;
  readonly givenUp: number;
}

/**
 * Writes each record to whichever of a set of streams answers first.
 *
 * ```js
 * const writer = new MultiStreamWriter({ url: "http://127.0.0.1:8002", streams: ["orders-1", "orders-2", "orders-3"] });
 * const { stream, dlsn } = await writer.write("an order");
 * await writer.close();
 * ```
 */
export class MultiStreamWriter implements AsyncDisposable {
  /** @throws {SettingsError} when a setting is refused. */
  constructor(options: MultiStreamWriterOptions);

  /** The streams that it writes to. */
  readonly streams: readonly string[];

  /**
   * Writes a record: waits for room, then for the answer of the stream that is first. Fails with a {@link WriteError}, at the latest
   * `requestTimeout` after it was accepted. Calls need not wait for each other: what is written meanwhile shares record sets.
   */
  write(record: RecordBytes, options?: WriteOptions): Promise<Written>;

  /** As {@link write}, but `undefined` at once when there is no room just now: wait for an earlier write, then try again. */
  tryWrite(record: RecordBytes, options?: WriteOptions): Promise<Written> | undefined;

  /** Waits until all that was written before has completed, with whatever result: each write's own promise tells it. */
  flush(): Promise<void>;

  /** Takes no more records, and waits until everything has completed. */
  close(options?: CloseOptions): Promise<void>;

  /** What was done so far. */
  stats(): WriterStats;

  /** The same as {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Where to begin: the first record there is, what is written from now on, or a position, that record included. */
export type From = "start" | "end" | Dlsn | string;

/** Where a reader is; survives `JSON.stringify` and `JSON.parse`. */
export interface ReaderPosition {
  readonly format: 1;
  /** Of each stream, the last position that was delivered, or the first that was not. */
  readonly streams: Readonly<Record<string, { readonly after: string } | { readonly from: string }>>;
  /** What is remembered of record sets that were delivered, base64. */
  readonly seen: string;
}

/** Something that went wrong with one stream, while the others are read on. */
export interface StreamFault {
  readonly stream: string;
  /** `unavailable`: it is tried again after a pause; `malformed`: a record set cannot be read, reading goes on behind it; `deleted`: it is not read any more. */
  readonly kind: "unavailable" | "malformed" | "deleted";
  readonly detail: string;
  /** Of a malformed set: its first position and how many it takes. */
  readonly dlsn?: Dlsn;
  readonly slots?: number;
}

export interface MultiStreamReaderOptions extends ConnectionOptions {
  /** The streams to read. May be left out when `position` names them. */
  streams?: readonly string[];
  /** Where to begin, for all streams or for each. Default: `"start"`. */
  from?: From | Readonly<Record<string, From>>;
  /** Where another reader was: goes on there. `from` holds for streams that it does not name. */
  position?: ReaderPosition;
  /** Whether to go on as records come. Default: true; false: end when there are no more. */
  follow?: boolean;
  /**
   * How many streams are tailed at a time. When there are more, they take turns of a quarter of a second. Default: 3 in a page whose proxy
   * does not speak HTTPS, because its browser opens six connections over HTTP/1.1 and writers need some; no limit elsewhere.
   */
  connections?: number;
  /** How much is remembered of what was delivered, or `false` to deliver every copy. Default: 65536 sequences of 256 writers. */
  merge?: false | { sequences?: number; writers?: number };
  /** How many records of each stream are buffered ahead. Default: 1024. */
  buffer?: number;
  /** How long the server may be silent before the connection counts as lost, in milliseconds: 200 to 120000. Default: 10000. */
  silence?: number;
  /** Told of what goes wrong with single streams. */
  onFault?: (fault: StreamFault) => void;
  /** Ends the iteration. */
  signal?: AbortSignal;
}

/** A record that was read. */
export interface ReadRecord {
  readonly stream: string;
  readonly dlsn: Dlsn;
  /** The record's bytes. */
  readonly payload: Uint8Array;
  /** The record's bytes as UTF-8. */
  text(): string;
  /** When the proxy stored it, in milliseconds since 1970. */
  readonly writtenMs: number;
  /** Which record set it came in, if that has an identity. */
  readonly set: { readonly writer: string; readonly sequence: number; readonly slot: number; readonly slots: number } | undefined;
}

export interface ReaderStats {
  /** Records delivered. */
  readonly delivered: number;
  /** Not delivered, because another copy was. */
  readonly copiesDropped: number;
  /** Delivered although nothing was known of them any more: copies may be among them. */
  readonly beyondWindow: number;
  readonly writersForgotten: number;
  /** Record sets that could not be read. */
  readonly malformed: number;
  /** Connections that were opened. */
  readonly connections: number;
}

/**
 * Reads several streams as one, each record once: copies of a set, which a writer makes when a stream is slow, are dropped. What it loses
 * the connection to, it goes on with where it was.
 *
 * ```js
 * for await (const record of new MultiStreamReader({ url: "http://127.0.0.1:8002", streams: ["orders-1", "orders-2"] })) {
 *   console.log(record.stream, `${record.dlsn}`, record.text());
 * }
 * ```
 */
export class MultiStreamReader implements AsyncIterableIterator<ReadRecord, undefined>, AsyncDisposable {
  /** @throws {SettingsError} when an option is refused. */
  constructor(options: MultiStreamReaderOptions);

  /** The next record. Fails with a {@link ReadError} when the server will never let it read. */
  next(): Promise<IteratorResult<ReadRecord, undefined>>;

  /** Closes the connections; `for await` calls it when it is left. */
  return(): Promise<IteratorResult<ReadRecord, undefined>>;

  /** Where it is: behind everything that was delivered. */
  position(): ReaderPosition;

  stats(): ReaderStats;

  [Symbol.asyncIterator](): this;

  /** The same as {@link return}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The position of a record in a log stream, ordered as the records are. */
export class Dlsn {
  constructor(logSegmentSequenceNo: bigint, entryId: bigint, slotId: bigint);
  readonly logSegmentSequenceNo: bigint;
  readonly entryId: bigint;
  readonly slotId: bigint;
  /** The first record of a stream. */
  static readonly INITIAL: Dlsn;
  /** Reads `1,0,5`, `DLSN{logSegmentSequenceNo=1, entryId=0, slotId=5}` or the base64 that other clients carry. */
  static parse(text: string): Dlsn;
  /** Negative when this one comes first, 0 when both are the same. */
  compare(other: Dlsn): number;
  /** `1,0,5` */
  toString(): string;
  toJSON(): string;
}

/** What all errors of this package are. `code` names what happened, for programs. */
export class DistributedLogError extends Error {
  protected constructor(...made: never[]);
  readonly code: string;
}

/** An option is refused: says which, what it is and what it may be. */
export class SettingsError extends DistributedLogError {
  readonly code: "SETTINGS";
  readonly setting: string;
}

/** The WebAssembly module could not be loaded. */
export class LoadError extends DistributedLogError {
  readonly code: "LOAD";
}

export type WriteErrorCode = "TOO_LARGE" | "REFUSED" | "FORBIDDEN" | "EXHAUSTED" | "TIMED_OUT" | "CLOSED" | "ABORTED";

/** A record was not written, or nobody knows. `cause` is what the last failed attempt met. */
export class WriteError extends DistributedLogError {
  readonly code: WriteErrorCode;
  readonly known: Known;
  /** How many attempts were made. */
  readonly attempts: number;
  /** DistributedLog's status code that the last failed attempt was answered with. */
  readonly status: number | undefined;
}

/** The record is longer than a record set may be. */
export class TooLargeError extends WriteError {
  readonly code: "TOO_LARGE";
}

/** A proxy said that the record is at fault, or every stream said that it will never take it. */
export class RefusedError extends WriteError {
  readonly code: "REFUSED" | "FORBIDDEN";
}

/** The browser does not let this page use the server (CORS); the message says what to start the proxy with. */
export class ForbiddenError extends RefusedError {
  readonly code: "FORBIDDEN";
}

/** Every stream was tried as often as the settings allow. */
export class ExhaustedError extends WriteError {
  readonly code: "EXHAUSTED";
}

/** `requestTimeout` passed. */
export class TimedOutError extends WriteError {
  readonly code: "TIMED_OUT";
}

/** The writer was closed before the write was over. */
export class ClosedError extends WriteError {
  readonly code: "CLOSED";
}

/** The write's signal was aborted; `cause` is the signal's reason. */
export class AbortedError extends WriteError {
  readonly code: "ABORTED";
}

/** The server will never let this reader read. */
export class ReadError extends DistributedLogError {
  readonly code: "FORBIDDEN" | "REFUSED" | "POSITION";
  /** HTTP's status, if there was an answer. */
  readonly status: number | undefined;
}

/** What the module can be made of; a response, a URL or bytes of `distributedlog_bg.wasm`, or the compiled module. */
export type ModuleSource = WebAssembly.Module | Uint8Array<ArrayBuffer> | ArrayBuffer | Response | URL | string;

/**
 * Loads the WebAssembly module, from `source` if it is given. Writers and readers do it by themselves: call it to choose when, or where
 * from. Only the first call counts.
 */
export function init(source?: ModuleSource | Promise<ModuleSource>): Promise<void>;
