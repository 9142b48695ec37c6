import type { MultiStreamWriter, ReadRecord, RecordBytes, WriteOptions, Written } from "./index.js";

/** The part of a writer that these functions use. */
export type RecordWriter = Pick<MultiStreamWriter, "write" | "tryWrite" | "ready">;

/** Options of {@link writeAll}. */
export interface WriteAllOptions extends WriteOptions {
  /** Called with each record that was written. Default: none. */
  onWritten?: (written: Written, index: number) => void;
  /**
   * Called with the error of each record that was not written; writing goes on. Default: the first
   * error ends the writing.
   */
  onError?: (error: Error, index: number) => void;
}

/** What became of all records. */
export interface WriteAllResult {
  /** Number of records written. */
  written: number;
  /** Number of records whose write failed. */
  failed: number;
}

/**
 * Writes all records of an iterable, as fast as there is room, and waits for their results. Takes
 * the next record only when the writer has room for it, so the memory is bounded however many there
 * are. Rejects with the first error, unless `onError` takes it.
 */
export function writeAll(
  writer: RecordWriter,
  records: Iterable<RecordBytes> | AsyncIterable<RecordBytes>,
  options?: WriteAllOptions,
): Promise<WriteAllResult>;

/** Writes records, and resolves to the result of each, in their order. Waits for room. */
export function writeBatch(
  writer: RecordWriter,
  records: readonly RecordBytes[],
  options?: WriteOptions,
): Promise<PromiseSettledResult<Written>[]>;

/** Options of {@link writableStream}. */
export interface WritableStreamOptions {
  /** Closes the writer with the stream. Default: true. */
  close?: boolean;
}

type PlatformWritableStream = typeof globalThis extends {
  WritableStream: { prototype: infer T };
}
  ? T
  : object;

/**
 * Returns a `WritableStream` of records: `await readable.pipeTo(writableStream(writer))`. It has
 * back pressure while the writer has no room, fails with the first record that fails, and is closed
 * when all records are written. `Writable.fromWeb` makes a stream of Node of it.
 */
export function writableStream(
  writer: MultiStreamWriter,
  options?: WritableStreamOptions,
): PlatformWritableStream;

/** Turns values into records. */
export interface Encoder<T> {
  encode(value: T): RecordBytes;
}

/** Turns records into values. */
export interface Decoder<T> {
  decode(bytes: Uint8Array): T;
}

/** Both directions. */
export interface Codec<T> extends Encoder<T>, Decoder<T> {}

/** Returns the codec of values as JSON. */
export function json<T>(): Codec<T>;

/** A writer of values. */
export interface TypedWriter<T> {
  /** See {@link MultiStreamWriter.write}. Rejects if the value cannot be encoded. */
  write(value: T, options?: WriteOptions): Promise<Written>;
  /** See {@link MultiStreamWriter.tryWrite}. */
  tryWrite(value: T, options?: WriteOptions): Promise<Written> | undefined;
  /** See {@link MultiStreamWriter.ready}. */
  ready(): Promise<void>;
}

/** Returns a writer of values over a writer of records. */
export function encoding<T>(writer: RecordWriter, encoder: Encoder<T>): TypedWriter<T>;

/** A record with its value. */
export interface DecodedRecord<T> {
  readonly record: ReadRecord;
  readonly value: T;
}

/** Yields the records of a reader with their values. A value that cannot be decoded ends it. */
export function decoding<T>(
  reader: AsyncIterable<ReadRecord>,
  decoder: Decoder<T>,
): AsyncGenerator<DecodedRecord<T>, void, void>;
