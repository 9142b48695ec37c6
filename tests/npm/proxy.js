// The real `dlog proxy`, as a child of the test's process.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { patience } from "./wait.js";

const running = new Set();
// A test that is interrupted leaves no proxy behind.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Proxy {
  /** With faults, unless it is to be without. */
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
    if (!binary) throw new Error("DLOG_BINARY names the dlog to test against");
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
    let said = "";
    await patience(`the proxy to listen`, (resolve, reject) => {
      child.on("exit", () => reject(new Error(`the proxy ended: ${said}`)));
      child.stderr.on("data", (text) => (said += text));
      child.stdout.on("data", (text) => {
        said += text;
        const clients = /^listening on .*:(\d+)$/m.exec(said);
        const http = /^HTTP on http:\/\/(\S+):(\d+)$/m.exec(said);
        if (!clients || !http) return;
        this.port = Number(clients[1]);
        this.httpPort = Number(http[2]);
        resolve();
      });
    });
    this.url = `http://127.0.0.1:${this.httpPort}`;
  }

  /** As a power failure does. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  /** Where it was. */
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

  /** A counter of /metrics, all its labels together. */
  async metric(name) {
    const lines = (await this.ask("GET", "/metrics"))
      .split("\n")
      .filter((line) => line.split(/[ {]/)[0] === name);
    if (lines.length === 0) throw new Error(`there is no metric ${name}`);
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** What lies in a stream: record by position. By plain HTTP, without the package. */
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
