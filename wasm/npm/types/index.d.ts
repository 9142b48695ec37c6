/// <reference lib="esnext.disposable" />

/**
 * Types of the platform where it declares them, as lib dom and `@types/node` do; elsewhere the part
 * of them that this package uses.
 */
interface Platform {
  AbortSignal: typeof globalThis extends { AbortSignal: { prototype: infer T } }
    ? T
    : {
        readonly aborted: boolean;
        readonly reason: unknown;
        addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
      };
  URL: typeof globalThis extends { URL: { prototype: infer T } } ? T : { readonly href: string };
  Response: typeof globalThis extends { Response: { prototype: infer T } }
    ? T
    : { arrayBuffer(): Promise<ArrayBuffer> };
  Module: typeof globalThis extends { WebAssembly: { Module: { prototype: infer T } } }
    ? T
    : object;
}

/** The bytes of a record. A string is encoded as UTF-8. */
export type RecordBytes = string | Uint8Array | ArrayBuffer | ArrayBufferView;

/**
 * State of a record whose write failed:
 *
 * - `"notWritten"`: it is in no stream.
 * - `"rejected"`: it is in no stream, and no stream will accept it.
 * - `"unknown"`: it may be in a stream; writing it again may duplicate it. An attempt had no
 *   response of the proxy. In browsers every request without a response is one of these, because
 *   they do not say if it was sent.
 */
export type Known = "notWritten" | "rejected" | "unknown";

/**
 * The part of `fetch` that this package uses: that of browsers, Node, Deno, Bun or workerd, or a
 * function of your own.
 */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>;

/** The second argument of {@link Fetch}. */
export interface FetchInit {
  method: "GET" | "POST" | "PUT" | "DELETE";
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer> | string;
  signal?: Platform["AbortSignal"];
  keepalive?: boolean;
  mode?: "cors" | "no-cors";
  cache?: "no-store";
}

/** The part of a response that this package uses. */
export interface FetchResponse {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: FetchBody | null;
  text(): Promise<string>;
}

/** The part of a response's body that this package uses. */
export interface FetchBody {
  getReader(): {
    read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
    cancel(reason?: unknown): Promise<void>;
  };
}

/** Address of a write proxy, and how to reach it. */
export interface ConnectionOptions {
  /**
   * URL at which the write proxy serves HTTP, e.g. `http://127.0.0.1:8002`. A path before `/v1` is
   * kept.
   */
  url: string | Platform["URL"];
  /** Function that sends requests. Default: the global `fetch`. */
  fetch?: Fetch;
  /** Headers of every request. Default: none. */
  headers?: Readonly<Record<string, string>>;
  /**
   * Token sent as `Authorization: Bearer …` with every request, or a function that is asked for it
   * before every request: it should keep a token that is still valid. While it fails nothing is
   * sent. Default: none.
   */
  token?: string | (() => string | Promise<string>);
}

/** Names, meaning and defaults are those of the Rust builder. Durations are in milliseconds. */
export interface WriterSettings {
  // Made from the settings' table.
  /** Time from the acceptance of a record until its write completes at the latest. Default: 10000. */
  requestTimeout?: number;
  /** Sends a set whose attempt takes long to the next stream as well. Without it a set goes to another stream only after a failure, and the speculative timeouts are ignored. Default: true. */
  hedging?: boolean;
  /** Time that a set waits for its first attempt before it is hedged. Default: 50. */
  firstSpeculativeTimeout?: number;
  /** Longest time that a set waits before it is hedged again. Default: 200. */
  maxSpeculativeTimeout?: number;
  /** Factor by which a set's speculative timeout grows with each hedge. Default: 2. */
  speculativeBackoffMultiplier?: number;
  /** Bytes, header and record lengths included, at which a record set is transmitted; 0: each record at once. At most the largest set (`MAX_SET_BYTES`). Default: 16384. */
  bufferSize?: number;
  /** Maximum time a partial set waits before it is transmitted; 0: no such limit. Default: 2. */
  flushInterval?: number;
  /** Transmits a set at once while no other is in flight; sets fill while one is. Default: true. */
  flushWhenIdle?: boolean;
  /** Maximum number of transmitted sets that are not finished; the writer's storage may hold fewer. Default: two less than `connections`, which leaves two for hedges. */
  inFlightSets?: number;
  /** Maximum bytes of records and set headers in memory, those of transmitted sets included until they are finished. It bounds the largest record too. Default: 33554432. */
  bufferedBytes?: number;
  /** Maximum number of records that are accepted and not completed; the writer's storage may hold fewer. Where it cannot grow, records whose result was not taken count too. Default: 16384. */
  pendingRecords?: number;
  /** Seed of the streams' permutation and of the jitter. Without one, the adapter draws a random one, and the core uses 0. Default: random. */
  seed?: number;
  /** Rounds over the streams after an attempt failed on every one of them. Default: `{ firstBackoff: 10, maxBackoff: 1000 }`. */
  rounds?: { limit?: number; firstBackoff?: number; maxBackoff?: number };
  /** Budget of extra attempts. `true`: with the recommended values. Default: true. */
  budget?: boolean | { share: number; perSecond: number; burst: number };
  /** Probation of streams that stall or fail. `true`: with the recommended values. Default: true. */
  health?: boolean | { strikes: number; firstBackoff: number; maxBackoff: number };
  /** Maximum number of attempts that are outstanding at one stream; `true`: twice its share of the sets in flight. Default: true. */
  window?: boolean | number;
  /** Speculative timeouts that follow the latency. `true`: with the recommended values. Default: true. */
  adaptive?: boolean | { quantile: number; floor: number; warmUp: number };
  /** Hedges a set to no stream that is silent: where something has waited, and nothing was answered, for half as long as a set waits before it is hedged. While all are, the set waits, at most the max speculative timeout: what holds up all streams at once, as the disk of their store, would hold up the hedge. Of the others, those in another failure domain come first, where proxies say it. R21, Default: true. */
  waitOutStalls?: boolean;
  /** Maximum pause of a stream that its proxy can ask for (`retry-after`); 0: requests for a pause are ignored. Default: 60000. */
  maxCoolDown?: number;
  /** Identity by which readers of several streams recognise duplicates of a set. Adapters with a source of randomness switch it on. Default: true, with 16 random bytes. */
  identity?: boolean;
  // Settings of this package alone.
  /** Maximum number of requests in flight. Default: in Node, Deno and Bun 32; elsewhere 6, what browsers open to one server over HTTP/1.1; more do no harm over HTTP/2. */
  connections?: number;
  /** Maximum number of records that wait for room beyond `pendingRecords`; a further write fails with {@link FullError}. Default: 100000. */
  waitingRecords?: number;
  /** Maximum bytes of records that wait for room beyond `bufferedBytes`; a further write fails with {@link FullError}. Default: 33554432. */
  waitingBytes?: number;
  /** Maximum time that a write waits for room while others are written, or for the module to load. While none is written, `requestTimeout` is the limit. Default: 60000. */
  waitTimeout?: number;
  /** Transmits the partial set when the page is hidden or left. Default: true, where there are pages. */
  flushOnPageHide?: boolean;
}

/** Options of {@link MultiStreamWriter}. */
export interface MultiStreamWriterOptions extends ConnectionOptions, WriterSettings {
  /** Streams to write to, 1 to 256. Each record goes to the one that responds first. */
  streams: readonly string[];
  /** Called with each request that has ended. Default: none. */
  onAttempt?: (report: AttemptReport) => void;
}

/** The end of one attempt: a request that sent a record set to a stream. */
export interface AttemptReport {
  /** Stream that it was sent to. */
  readonly stream: string;
  /** Number of the attempt among those of its set, from 1. Above 1 it is a hedge or a retry. */
  readonly attempt: number;
  /** Bytes of the record set. */
  readonly bytes: number;
  /** `"aborted"`: another attempt had completed the set, or the set's time was over. */
  readonly outcome: "written" | "failed" | "aborted";
  /** Time from the request to its end, in milliseconds. */
  readonly duration: number;
  /** DistributedLog status code of a failed attempt. `undefined` if it had none. */
  readonly status: number | undefined;
  /** Reason of the failure. `undefined` if it did not fail. */
  readonly error: Error | undefined;
}

/** Position at which a record was written. */
export interface Written {
  /** Stream that responded first. */
  readonly stream: string;
  /** Position of the record in that stream. */
  readonly dlsn: Dlsn;
  /**
   * Number of attempts made for the record's set. Above 1 the set was hedged or retried, and other
   * streams may contain duplicates.
   */
  readonly attempts: number;
}

/** Options of {@link MultiStreamWriter.write}. */
export interface WriteOptions {
  /**
   * Aborts the write: its promise rejects with {@link AbortedError}. A record that still waits for
   * room is not written; one that was accepted may be. Any number of writes can share a signal.
   * Default: none.
   */
  signal?: Platform["AbortSignal"];
}

/** Options of {@link MultiStreamWriter.close}. */
export interface CloseOptions {
  /**
   * Time after which incomplete writes fail with {@link ClosedError}, in milliseconds. Default: no
   * limit besides `requestTimeout`.
   */
  timeout?: number;
}

/** Counters of a writer since its creation. */
export interface WriterStats {
  /** Records accepted. */
  readonly records: number;
  /** Bytes of the records accepted. */
  readonly bytes: number;
  /** Records written. */
  readonly recordsWritten: number;
  /** Records whose write failed. */
  readonly recordsFailed: number;
  /** Record sets transmitted. */
  readonly sets: number;
  /** Record sets written. */
  readonly setsWritten: number;
  /** Requests made for record sets. */
  readonly attempts: number;
  /** Requests made because an earlier one failed. */
  readonly retries: number;
  /** Requests made because an earlier one took longer than the speculative timeout. */
  readonly hedgesSent: number;
  /** Hedges that completed their set. */
  readonly hedgesWon: number;
  /** Hedges whose set another attempt completed. */
  readonly hedgesWasted: number;
  /** Requests aborted. */
  readonly cancelled: number;
  /** Responses to attempts that were given up before. They change nothing. */
  readonly lateAnswers: number;
  /** Requests that failed. */
  readonly failures: number;
  /** Hedges and retries postponed because `budget` was exhausted. */
  readonly budgetExhausted: number;
  /** Hedges not sent because a proxy asked for less load. */
  readonly pushbacks: number;
  /** Times that `health` put a stream on probation. */
  readonly probationEntries: number;
  /** Times that a stream left probation. */
  readonly probationExits: number;
  /** Records, flushes and closes that wait for room or for the module to load. */
  readonly waiting: number;
  /** Times from calls of `write` until their records were written. */
  readonly writeLatency: LatencyHistogram;
  /** Figures by stream name. */
  readonly streams: Readonly<Record<string, StreamStats>>;
}

/** Numbers of latencies, by their length. */
export interface LatencyHistogram {
  /** Upper bounds of the buckets, in milliseconds: powers of two, and infinity. */
  readonly bounds: readonly number[];
  /** Number of latencies in each bucket: above the bound before, and at most its own. */
  readonly counts: readonly number[];
  /** Sum of all latencies, in milliseconds. */
  readonly sum: number;
}

/** Figures of one stream of a writer. */
export interface StreamStats {
  /**
   * False while the stream's turns are skipped: it is on probation, or its proxy asked for less
   * load.
   */
  readonly healthy: boolean;
  /**
   * Quantile of recent latencies that `adaptive` selects, in milliseconds. `undefined` while there
   * are too few.
   */
  readonly latency: number | undefined;
  /** Requests made. */
  readonly attempts: number;
  /** Requests that completed their set. */
  readonly won: number;
  /** Requests that failed. */
  readonly failed: number;
  /** Requests given up before they ended. */
  readonly givenUp: number;
}

/**
 * A writer that sends each record to the stream, of a set of streams, that responds first.
 *
 * ```js
 * const writer = new MultiStreamWriter({ url: "http://127.0.0.1:8002", streams: ["orders-1",
 * "orders-2", "orders-3"] }); const { stream, dlsn } = await writer.write("an order"); await
 * writer.close();
 * ```
 */
export class MultiStreamWriter implements AsyncDisposable {
  /**
   * Creates a writer, and loads the WebAssembly module if needed. Settings that only the module can
   * check fail the writes instead.
   *
   * @throws {SettingsError} if an option is invalid.
   */
  constructor(options: MultiStreamWriterOptions);

  /** Streams that it writes to. */
  readonly streams: readonly string[];

  /**
   * Writes a record: waits for room, then for the first success of a stream. Rejects with a {@link
   * WriteError} at most `requestTimeout` after the record was accepted; before, once no record was
   * written for `requestTimeout`, or `waitTimeout` is over, or at once if too many writes wait.
   * Concurrent calls share record sets, so do not await one write before the next.
   */
  write(record: RecordBytes, options?: WriteOptions): Promise<Written>;

  /**
   * Writes a record like {@link write} if the writer holds fewer than `pendingRecords` and
   * `bufferedBytes`. Otherwise returns `undefined` at once: await {@link ready}, then try again.
   */
  tryWrite(record: RecordBytes, options?: WriteOptions): Promise<Written> | undefined;

  /**
   * Waits until {@link tryWrite} has room: at once if it has, otherwise until half of the records
   * have completed. Never rejects.
   */
  ready(): Promise<void>;

  /**
   * Waits until all writes made before have completed. Never rejects: each write's promise has its
   * result.
   */
  flush(): Promise<void>;

  /** Flushes and closes the writer. Later writes reject with {@link ClosedError}. */
  close(options?: CloseOptions): Promise<void>;

  /** Returns the counters. */
  stats(): WriterStats;

  /** Calls {@link close}; for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Start of reading: the first record of the stream, the records written from now on, a position,
 * whose record is included, or a time: the first record that was written then or later.
 */
export type From = "start" | "end" | Dlsn | Date | string;

/** Position of a reader, as plain JSON. */
export interface ReaderPosition {
  /** Version of this format. */
  readonly format: 1;
  /**
   * For each stream, the last position delivered (`after`) or the first not delivered (`from`). The
   * text names the life of the stream too: one that is deleted and created again has other records
   * at the same positions.
   */
  readonly streams: Readonly<
    Record<string, { readonly after: string } | { readonly from: string }>
  >;
  /** Dedup window: the record sets delivered, in base64. */
  readonly seen: string;
}

/** A problem of one stream. The reader goes on with the others. */
export interface StreamFault {
  /** Name of the stream. */
  readonly stream: string;
  /**
   * - `"unavailable"`: a request failed; the reader tries again after a pause.
   * - `"malformed"`: a record set cannot be decoded; the reader skips it.
   * - `"deleted"`: the stream was deleted; the reader drops it.
   */
  readonly kind: "unavailable" | "malformed" | "deleted";
  /** Description for people. */
  readonly detail: string;
  /** First position of a malformed set. */
  readonly dlsn?: Dlsn;
  /** Number of positions of a malformed set. */
  readonly slots?: number;
}

/** Options of {@link MultiStreamReader}. */
export interface MultiStreamReaderOptions extends ConnectionOptions {
  /** Streams to read, 1 to 256. Default: those of `position`. */
  streams?: readonly string[];
  /** Start of reading, for all streams or by stream name. Default: `"start"`. */
  from?: From | Readonly<Record<string, From>>;
  /**
   * Position of another reader, at which to resume. Streams that it does not name start at `from`.
   */
  position?: ReaderPosition;
  /**
   * True to wait for new records, and for streams that do not exist yet; false to end after the last
   * record, with a {@link ReadError} if streams do not exist. Default: true.
   */
  follow?: boolean;
  /**
   * Maximum number of streams tailed at a time. If there are more, they take turns of 250 ms.
   * Default: 3 in a page whose proxy has no HTTPS, because browsers open six connections over
   * HTTP/1.1 and writers need some; unlimited elsewhere.
   */
  connections?: number;
  /**
   * Size of the dedup window: record sets remembered of each writer, and writers. `false` delivers
   * duplicates too. Default: 65536 sequences, 256 writers.
   */
  merge?: false | { sequences?: number; writers?: number };
  /** Records of each stream that are read ahead, at least 1. Default: 1024. */
  buffer?: number;
  /**
   * Silence of the server after which a connection counts as lost, in milliseconds: 200 to 120000.
   * Default: 10000.
   */
  silence?: number;
  /**
   * Time without any response of the server after which `next` rejects with a {@link ReadError},
   * `UNREACHABLE`, in milliseconds. Default: 60000 until the first response, and no limit
   * afterwards: the reader resumes whenever the server is back. `Infinity`: no limit at all.
   */
  contactTimeout?: number;
  /**
   * Called with each problem of a single stream. Default: `console.warn`, at most once a minute.
   */
  onFault?: (fault: StreamFault) => void;
  /** Ends the iteration when aborted. Default: none. */
  signal?: Platform["AbortSignal"];
}

/** A record that was read. */
export interface ReadRecord {
  /** Stream that it was read from. */
  readonly stream: string;
  /** Position in that stream. */
  readonly dlsn: Dlsn;
  /** Bytes of the record. */
  readonly payload: Uint8Array;
  /** Decodes the bytes as UTF-8. */
  text(): string;
  /** Time at which the proxy stored it, in milliseconds since 1970. */
  readonly writtenMs: number;
  /**
   * Identity of its record set, and its place in the set. `undefined` if the set has no identity.
   */
  readonly set:
    | {
        readonly writer: string;
        readonly sequence: number;
        readonly slot: number;
        readonly slots: number;
      }
    | undefined;
}

/** Counters of a reader since its creation. */
export interface ReaderStats {
  /** Records delivered. */
  readonly delivered: number;
  /** Records dropped as duplicates. */
  readonly copiesDropped: number;
  /**
   * Records delivered although they lay beyond the dedup window, or their writer was evicted from it:
   * they may be duplicates.
   */
  readonly beyondWindow: number;
  /** Writers evicted from the dedup window. */
  readonly writersForgotten: number;
  /** Record sets that could not be decoded. */
  readonly malformed: number;
  /** Connections opened. */
  readonly connections: number;
}

/**
 * A reader that merges several streams and delivers each record once: it drops the duplicates that
 * a writer makes when a stream is slow. After a lost connection it resumes where it was.
 *
 * ```js
 * for await (const record of new MultiStreamReader({ url: "http://127.0.0.1:8002", streams:
 * ["orders-1", "orders-2"] })) {
 *   console.log(record.stream, `${record.dlsn}`, record.text());
 * }
 * ```
 */
export class MultiStreamReader
  implements AsyncIterableIterator<ReadRecord, undefined>, AsyncDisposable
{
  /**
   * Creates a reader. It connects when the first record is requested.
   *
   * @throws {SettingsError} if an option is invalid.
   */
  constructor(options: MultiStreamReaderOptions);

  /** Returns the next record. Rejects with a {@link ReadError} if reading cannot go on. */
  next(): Promise<IteratorResult<ReadRecord, undefined>>;

  /** Closes the connections. `for await` calls it when the loop is left. */
  return(): Promise<IteratorResult<ReadRecord, undefined>>;

  /** Returns the position after all records delivered. */
  position(): ReaderPosition;

  /** Returns the counters. */
  stats(): ReaderStats;

  [Symbol.asyncIterator](): this;

  /** Calls {@link return}; for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Position of a record in a log stream: a DistributedLog sequence number. Ordered like the records.
 */
export class Dlsn {
  constructor(logSegmentSequenceNo: bigint, entryId: bigint, slotId: bigint);
  /** Number of the log segment, from 1. */
  readonly logSegmentSequenceNo: bigint;
  /** Number of the entry within the segment, from 0. */
  readonly entryId: bigint;
  /** Number of the record within the entry, from 0. */
  readonly slotId: bigint;
  /** Position of a stream's first record: `1,0,0`. */
  static readonly INITIAL: Dlsn;
  /**
   * Parses `1,0,5`, `DLSN{logSegmentSequenceNo=1, entryId=0, slotId=5}`, or the base64 form of
   * other clients.
   *
   * @throws {SyntaxError} if the text is none of these.
   */
  static parse(text: string): Dlsn;
  /**
   * Returns a negative number if this position comes first, 0 if both are equal, otherwise a
   * positive one.
   */
  compare(other: Dlsn): number;
  /** Returns the form `1,0,5`. */
  toString(): string;
  /** Returns the form `1,0,5`. */
  toJSON(): string;
}

/**
 * Base class of this package's errors. `instanceof` also recognises those of another copy of the
 * package, such as that of `require` beside that of `import`.
 */
export class DistributedLogError extends Error {
  protected constructor(...made: never[]);
  /** Name of the error, for programs. */
  readonly code: string;
}

/** An option is invalid. The message contains its name, its value and the values allowed. */
export class SettingsError extends DistributedLogError {
  readonly code: "SETTINGS";
  /** Name of the option. */
  readonly setting: string;
}

/** The WebAssembly module could not be loaded. The next {@link init} tries again. */
export class LoadError extends DistributedLogError {
  readonly code: "LOAD";
}

/** Values of {@link WriteError.code}. */
export type WriteErrorCode =
  "TOO_LARGE" | "REFUSED" | "FORBIDDEN" | "EXHAUSTED" | "TIMED_OUT" | "FULL" | "CLOSED" | "ABORTED";

/**
 * A write failed. `known` says if the record may have been written; `cause` is the error of the
 * last failed attempt.
 */
export class WriteError extends DistributedLogError {
  readonly code: WriteErrorCode;
  /** State of the record. */
  readonly known: Known;
  /** Number of attempts made. */
  readonly attempts: number;
  /** DistributedLog status code of the last failed attempt. `undefined` if it had none. */
  readonly status: number | undefined;
}

/** The record is longer than a record set may be. */
export class TooLargeError extends WriteError {
  readonly code: "TOO_LARGE";
}

/** A proxy refused the record as invalid, or every stream refused it for ever. */
export class RefusedError extends WriteError {
  readonly code: "REFUSED" | "FORBIDDEN";
}

/**
 * The browser forbids this page to use the server (CORS). The message contains the flag for the
 * proxy.
 */
export class ForbiddenError extends RefusedError {
  readonly code: "FORBIDDEN";
}

/** Every stream was tried as often as `rounds.limit` allows. */
export class ExhaustedError extends WriteError {
  readonly code: "EXHAUSTED";
}

/** `requestTimeout` elapsed, or `waitTimeout` while the record waited for room. */
export class TimedOutError extends WriteError {
  readonly code: "TIMED_OUT";
}

/** Too many writes wait for room: `waitingRecords` or `waitingBytes`. */
export class FullError extends WriteError {
  readonly code: "FULL";
}

/** The writer was closed before the write completed. */
export class ClosedError extends WriteError {
  readonly code: "CLOSED";
}

/** The write's signal was aborted; `cause` is the signal's reason. */
export class AbortedError extends WriteError {
  readonly code: "ABORTED";
}

/** Values of {@link ReadError.code}. */
export type ReadErrorCode =
  | "FORBIDDEN"
  | "REFUSED"
  | "UNREACHABLE"
  | "POSITION"
  | "STREAM_RECREATED"
  | "POSITION_BEYOND_END"
  | "STREAM_MISSING";

/**
 * Reading cannot go on. The records that were read before are delivered first. `code` is the reason:
 *
 * - `"FORBIDDEN"`: the browser forbids this page to use the server (CORS).
 * - `"REFUSED"`: the server refuses this reader for ever.
 * - `"UNREACHABLE"`: the server did not respond for `contactTimeout`.
 * - `"POSITION"`: the position is damaged.
 * - `"STREAM_RECREATED"`: the stream was deleted, and another one was created with its name, before
 *   the reader resumed or while it read. Read the new one with `from: "start"`.
 * - `"POSITION_BEYOND_END"`: the position lies beyond the end of the stream, so it belongs to another
 *   one.
 * - `"STREAM_MISSING"`: with `follow: false`, `streams` do not exist or were deleted meanwhile; all
 *   others were read to their ends.
 */
export class ReadError extends DistributedLogError {
  readonly code: ReadErrorCode;
  /** HTTP status. `undefined` without a response. */
  readonly status: number | undefined;
  /** Names of the streams that the error concerns. Empty if it concerns none in particular. */
  readonly streams: readonly string[];
}

/**
 * Source of the module: the bytes, URL or response of `distributedlog_bg.wasm`, or the compiled
 * module.
 */
export type ModuleSource =
  | Platform["Module"]
  | Uint8Array<ArrayBuffer>
  | ArrayBuffer
  | Platform["Response"]
  | Platform["URL"]
  | string;

/**
 * Loads the WebAssembly module. Writers and readers call it themselves: call it before them to
 * choose the time or the source. Later calls wait for the first, and ignore their `source`.
 *
 * @param source Default: `distributedlog_bg.wasm` beside the package's code.
 * @throws {LoadError} if the module cannot be loaded.
 */
export function init(source?: ModuleSource | Promise<ModuleSource>): Promise<void>;
