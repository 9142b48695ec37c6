// Runs the real `dlog proxy` as a child process.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { withTimeout } from "./wait.js";

const running = new Set();
// An interrupted test must not leave a proxy behind.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Proxy {
  /** Starts a proxy on an empty store, with fault injection unless `faults` is false. */
  static async start(flags = [], { faults = true } = {}) {
    const folder = mkdtempSync(join(tmpdir(), "dlog-npm-"));
    const proxy = new Proxy(folder, [...(faults ? ["--faults"] : []), ...flags]);
    await proxy.run(0, 0);
    return proxy;
  }

  constructor(folder, flags) {
    this.folder = folder;
    this.flags = flags;
  }

  async run(port, httpPort) {
    const binary = process.env.DLOG_BINARY;
    if (!binary) throw new Error("DLOG_BINARY must be the path of the dlog to test");
    const ports = ["-p", String(port), "--http-port", String(httpPort)];
    const child = spawn(
      binary,
      ["proxy", "--data", join(this.folder, "store"), ...ports, ...this.flags],
      {
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    running.add(child);
    this.child = child;
    this.ended = new Promise((resolve) => {
      child.on("exit", () => {
        running.delete(child);
        resolve();
      });
    });
    let output = "";
    await withTimeout(`the proxy to listen`, (resolve, reject) => {
      child.on("exit", () => reject(new Error(`the proxy ended: ${output}`)));
      child.stderr.on("data", (text) => (output += text));
      child.stdout.on("data", (text) => {
        output += text;
        const clients = /^listening on .*:(\d+)$/m.exec(output);
        const http = /^HTTP on http:\/\/(\S+):(\d+)$/m.exec(output);
        if (!clients || !http) return;
        this.port = Number(clients[1]);
        this.httpPort = Number(http[2]);
        resolve();
      });
    });
    this.url = `http://127.0.0.1:${this.httpPort}`;
  }

  /** Kills the process with SIGKILL. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  /** Starts again on the same store and ports. */
  async restart() {
    await this.run(this.port, this.httpPort);
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async ask(method, path) {
    const response = await fetch(this.url + path, { method });
    if (!response.ok)
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.text();
  }

  create(...streams) {
    return Promise.all(streams.map((stream) => this.ask("PUT", `/v1/streams/${stream}`)));
  }

  stall = (stream) => this.ask("PUT", `/faults/${stream}/stall`);
  fail = (stream, code) => this.ask("PUT", `/faults/${stream}/fail/${code}`);
  clear = (stream) => this.ask("DELETE", `/faults/${stream}`);

  /** Returns a figure of /metrics, summed over its labels. */
  async metric(name) {
    const lines = (await this.ask("GET", "/metrics"))
      .split("\n")
      .filter((line) => line.split(/[ {]/)[0] === name);
    if (lines.length === 0) throw new Error(`there is no metric ${name}`);
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** Returns the records of a stream by position, read by plain HTTP without the package. */
  async stored(stream) {
    const response = await fetch(`${this.url}/v1/streams/${stream}/records?follow=false`);
    const lines = (await response.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    if (lines.at(-1)?.event !== "end") throw new Error(`reading ${stream} did not end in order`);
    const records = lines.filter((line) => line.event === "record");
    return new Map(
      records.map(({ dlsn, payload }) => [dlsn, Buffer.from(payload, "base64").toString()]),
    );
  }
}
