// Pages for any browser, and the server of them.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** A page with the exports of the package as globals. */
export const PAGE = `<!doctype html><title>page</title><script type="module">
  import * as distributedlog from "/distributedlog/web.js";
  Object.assign(globalThis, distributedlog, { loaded: true });
</script>`;

/**
 * Serves the installed package under /distributedlog/, and `pages`, a map from path to text, with
 * these headers.
 */
export async function serve(pages, headers = {}) {
  const dist = join(import.meta.dirname, "node_modules/distributedlog/dist");
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    try {
      const body =
        pages[pathname] ?? readFileSync(join(dist, pathname.replace(/^\/distributedlog\//, "")));
      const type =
        pathname in pages && extname(pathname) === "" ? "text/html" : TYPES[extname(pathname)];
      response
        .writeHead(200, { "content-type": type ?? "application/octet-stream", ...headers })
        .end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Settings with which only the end of the page transmits a record within a minute. */
export const PATIENT = { flushWhenIdle: false, flushInterval: 60_000, requestTimeout: 120_000 };

/**
 * Runs in the page: writes fifty records with the settings above, so that they wait in a partial
 * set.
 */
export async function leaveBehind(options) {
  await init();
  const writer = new MultiStreamWriter(options);
  await new Promise((resolve) => setTimeout(resolve));
  for (let index = 0; index < 50; index++) void writer.write(`left behind ${index}`);
  if (writer.stats().sets !== 0) throw new Error("it was transmitted already");
}

/** Returns how many of them are in `stored`, a map from stream to records. */
export function leftBehind(stored) {
  return [...stored.values()]
    .flatMap((records) => [...records.values()])
    .filter((record) => record.startsWith("left behind ")).length;
}
