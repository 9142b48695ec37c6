// Headless Chromium, and a server for its pages.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";

import { chromium } from "playwright-core";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** A page on which everything of the package is a global. */
export const PAGE = `<!doctype html><title>page</title><script type="module">
  import * as distributedlog from "/distributedlog/web.js";
  Object.assign(globalThis, distributedlog, { loaded: true });
</script>`;

export function launch() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, chromiumSandbox: false, args: FLAGS });
}

/** Serves the installed package under /distributedlog/, and the pages that are given as text by their paths. */
export async function serve(pages) {
  const dist = join(import.meta.dirname, "node_modules/distributedlog/dist");
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    try {
      const body = pages[pathname] ?? readFileSync(join(dist, pathname.replace(/^\/distributedlog\//, "")));
      const type = pathname in pages && extname(pathname) === "" ? "text/html" : TYPES[extname(pathname)];
      response.writeHead(200, { "content-type": type ?? "application/octet-stream" }).end(body);
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
