// Worker that tests/npm/runtimes.test.js runs in workerd. Each request has its own writer and
// reader, because requests cannot share I/O there.
import { MultiStreamReader, MultiStreamWriter } from "distributedlog";

export default {
  async fetch(request) {
    const { url, streams, texts } = await request.json();
    const writer = new MultiStreamWriter({ url, streams, requestTimeout: 20_000 });
    const written = [];
    for (const text of texts) {
      const { stream, dlsn } = await writer.write(text);
      written.push([stream, `${dlsn}`, text]);
    }
    await writer.close();
    const read = [];
    for await (const record of new MultiStreamReader({ url, streams, follow: false }))
      read.push([record.stream, `${record.dlsn}`, record.text()]);
    return Response.json({ written, read, hedgesWon: writer.stats().hedgesWon });
  },
};
