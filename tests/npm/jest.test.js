// The package in programs that jest tests.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { Proxy } from "./proxy.js";

describe("jest", () => {
  let proxy, gone;
  before(async () => {
    // The address of a page of jsdom.
    proxy = await Proxy.start(["--cors-origin", "http://localhost"]);
    gone = await Proxy.start();
    await gone.stop();
  });
  after(() => proxy.stop());

  for (const environment of ["node", "./jsdom-with-fetch.cjs"]) {
    test(`in the environment ${environment}`, async () => {
      await proxy.create("jest-1");
      const flags = ["--env", environment, "--testMatch", "**/jest-program.cjs", "--transform", "{}"];
      const run = promisify(execFile)(
        process.execPath,
        ["node_modules/jest/bin/jest.js", "--rootDir", ".", "--watchman=false", ...flags],
        {
          cwd: import.meta.dirname,
          timeout: 150_000,
          env: { ...process.env, DLOG_URL: proxy.url, DLOG_GONE: gone.url, NODE_OPTIONS: "" },
        },
      );
      const { stderr } = await run.catch((error) => assert.fail(error.stdout + error.stderr));
      assert.match(stderr, /Tests: +2 passed, 2 total/);
      await proxy.ask("DELETE", "/v1/streams/jest-1");
    });
  }
});
