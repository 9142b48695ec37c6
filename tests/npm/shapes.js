// Writes COUNT records of 100 bytes in one of the shapes that programs have, and prints records per
// second and the peak of memory as JSON. Run by bench.js, each shape in a process of its own:
// node shapes.js URL SHAPE COUNT
import { MultiStreamWriter } from "distributedlog";

const [url, shape, number] = process.argv.slice(2);
const count = Number(number);
const streams = ["n-1", "n-2", "n-3", "n-4", "n-5"];
const writer = new MultiStreamWriter({ url, streams, requestTimeout: 30_000 });
const record = "x".repeat(100);

function* records(most = count) {
  for (let index = 0; index < most; index++) yield record;
}

const SHAPES = {
  /** A thousand tasks, each of which awaits its write. */
  async await() {
    let next = 0;
    const task = async () => {
      while (next++ < count) await writer.write(record);
    };
    await Promise.all(Array.from({ length: 1_000 }, task));
  },
  /** Every write at once, without awaiting any before the last. */
  async all() {
    await Promise.all(Array.from(records(), (each) => writer.write(each)));
  },
  /** As many as there is room for; an earlier version has no `ready`. */
  async submit() {
    for (const each of records()) {
      let written = writer.tryWrite(each);
      while (written === undefined) {
        await (writer.ready?.() ?? new Promise((resolve) => setImmediate(resolve)));
        written = writer.tryWrite(each);
      }
      void written;
    }
    await writer.flush();
  },
  /** Batches of ten thousand, one after the other. */
  async batch() {
    const { writeBatch } = await import("distributedlog/streams");
    for (let done = 0; done < count; done += 10_000) {
      const results = await writeBatch(writer, [...records(Math.min(10_000, count - done))]);
      if (results.some(({ status }) => status === "rejected")) throw new Error("a record failed");
    }
  },
  /** An iterable. */
  async writeAll() {
    const { writeAll } = await import("distributedlog/streams");
    await writeAll(writer, records());
  },
  /** A web stream. */
  async stream() {
    const { writableStream } = await import("distributedlog/streams");
    await ReadableStream.from(records()).pipeTo(writableStream(writer, { close: false }));
  },
};

await writer.write("the module is loaded");
let peak = 0;
const sample = () => (peak = Math.max(peak, process.memoryUsage().rss));
const sampling = setInterval(sample, 20);
const cpu = process.cpuUsage();
const began = performance.now();
await SHAPES[shape]();
const seconds = (performance.now() - began) / 1_000;
const { user, system } = process.cpuUsage(cpu);
sample();
clearInterval(sampling);
const { recordsWritten, recordsFailed, sets } = writer.stats();
await writer.close();
const result = {
  perSecond: count / seconds,
  perCpuSecond: count / ((user + system) / 1e6),
  peak,
  setSize: recordsWritten / sets,
  recordsFailed,
};
console.log(JSON.stringify(result));
