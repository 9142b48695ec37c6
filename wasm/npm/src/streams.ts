import type * as Public from "../types/streams.js";
import type { MultiStreamWriter, ReadRecord, RecordBytes, WriteOptions, Written } from "../types/index.js";

/** Writes a record as soon as there is room. Returns its result, wrapped so that it is not awaited. */
async function submit(
  writer: Public.RecordWriter,
  record: RecordBytes,
  options?: WriteOptions,
): Promise<{ written: Promise<Written> }> {
  for (;;) {
    const written = writer.tryWrite(record, options);
    if (written !== undefined) return { written };
    await writer.ready();
  }
}

export async function writeAll(
  writer: Public.RecordWriter,
  records: Iterable<RecordBytes> | AsyncIterable<RecordBytes>,
  { signal, onError, onWritten }: Public.WriteAllOptions = {},
): Promise<Public.WriteAllResult> {
  const result = { written: 0, failed: 0 };
  const options = signal === undefined ? {} : { signal };
  let failure: { error: unknown } | undefined;
  let index = 0;
  let settled = 0;
  let allSettled = () => {};
  const settle = () => {
    settled += 1;
    if (settled === index) allSettled();
  };
  for await (const record of records) {
    const place = index;
    index += 1;
    const written =
      writer.tryWrite(record, options) ?? (await submit(writer, record, options)).written;
    written
      .then(
        (position) => {
          result.written += 1;
          onWritten?.(position, place);
        },
        (error: unknown) => {
          result.failed += 1;
          if (onError === undefined) failure ??= { error };
          else onError(error as Error, place);
        },
      )
      // What a callback throws ends the writing.
      .catch((error: unknown) => (failure ??= { error }))
      .then(settle);
    if (failure !== undefined) break;
  }
  if (settled < index)
    await new Promise<void>((resolve) => {
      allSettled = resolve;
    });
  if (failure !== undefined) throw failure.error;
  return result;
}

export async function writeBatch(
  writer: Public.RecordWriter,
  records: readonly RecordBytes[],
  options?: WriteOptions,
): Promise<PromiseSettledResult<Written>[]> {
  const results: Promise<PromiseSettledResult<Written>>[] = [];
  for (const record of records) {
    const written =
      writer.tryWrite(record, options) ?? (await submit(writer, record, options)).written;
    // Handled at once: it may reject while later records wait for room.
    results.push(
      written.then(
        (value) => ({ status: "fulfilled", value }),
        (reason: unknown) => ({ status: "rejected", reason }),
      ),
    );
  }
  return Promise.all(results);
}

export function writableStream(
  writer: MultiStreamWriter,
  { close = true }: Public.WritableStreamOptions = {},
): WritableStream<RecordBytes> {
  let failure: { error: unknown } | undefined;
  return new WritableStream<RecordBytes>({
    async write(record, controller) {
      const { written } = await submit(writer, record);
      written.catch((error: unknown) => {
        failure ??= { error };
        controller.error(error);
      });
    },
    async close() {
      await (close ? writer.close() : writer.flush());
      // The last rejections are handled in later microtasks than the flush.
      await new Promise((resolve) => setTimeout(resolve));
      if (failure !== undefined) throw failure.error;
    },
    async abort() {
      if (close) await writer.close({ timeout: 0 });
    },
  });
}

export function json<T>(): Public.Codec<T> {
  const utf8 = new TextDecoder();
  return {
    encode: (value) => JSON.stringify(value),
    decode: (bytes) => JSON.parse(utf8.decode(bytes)) as T,
  };
}

export function encoding<T>(
  writer: Public.RecordWriter,
  { encode }: Public.Encoder<T>,
): Public.TypedWriter<T> {
  return {
    write: async (value, options) => writer.write(encode(value), options),
    tryWrite: (value, options) => writer.tryWrite(encode(value), options),
    ready: () => writer.ready(),
  };
}

export async function* decoding<T>(
  reader: AsyncIterable<ReadRecord>,
  { decode }: Public.Decoder<T>,
): AsyncGenerator<Public.DecodedRecord<T>, void, void> {
  for await (const record of reader) yield { record, value: decode(record.payload) };
}
