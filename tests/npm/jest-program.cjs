// Program that tests/npm/jest.test.js runs in jest, in its environments for Node and for pages: the
// globals of both are those of another realm than Node's own.
/* global expect, jest, test */
const { MultiStreamReader, MultiStreamWriter, ReadError, WriteError } = require("distributedlog");

const { DLOG_URL: url, DLOG_GONE: gone } = process.env;
const options = { url, streams: ["jest-1"], requestTimeout: 20_000 };

test("a program under test writes, reads, and sees errors", async () => {
  const writer = new MultiStreamWriter(options);
  const bytes = Uint8Array.of(1, 2);
  for (const record of ["a text", bytes, bytes.buffer, new DataView(bytes.buffer)])
    await writer.write(record);
  const reader = new MultiStreamReader({ url, streams: ["jest-1"], from: new Date(0), follow: false });
  const payloads = [];
  for await (const { payload } of reader) payloads.push([...payload].join());
  expect(payloads).toEqual([[...Buffer.from("a text")].join(), "1,2", "1,2", "1,2"]);
  await expect(writer.write(new Uint8Array(2e6))).rejects.toThrow(WriteError);
  const missing = new MultiStreamReader({ url, streams: ["none"], follow: false, onFault: () => {} });
  await expect(missing.next()).rejects.toThrow(ReadError);
  const unreachable = new MultiStreamWriter({ ...options, url: gone, rounds: { limit: 1 } });
  await expect(unreachable.write("x")).rejects.toMatchObject({ code: "EXHAUSTED", known: "notWritten" });
  await writer.close();
}, 60_000);

test("writes are sent, and time out, while the test's timers are fake", async () => {
  const writer = new MultiStreamWriter(options);
  jest.useFakeTimers();
  await writer.write("with fake timers");
  await Promise.all(Array.from({ length: 100 }, (_, index) => writer.write(`${index}`)));
  const stuck = new MultiStreamWriter({ ...options, requestTimeout: 300, fetch: () => new Promise(() => {}) });
  await expect(stuck.write("x")).rejects.toMatchObject({ code: "TIMED_OUT" });
  jest.useRealTimers();
  await writer.close();
}, 60_000);
