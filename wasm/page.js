// The copy of the npm package's files that the proxy's page loads, and the record of their origin.
//
//   node wasm/page.js record DEP_INFO COMPILER   writes the build's record to wasm/npm/dist
//   node wasm/page.js copy                       copies files and record to the page's folder
//   node wasm/page.js check                      compares the page's folder with the build
//
// wasm/build calls the first two, tests/parts/wasm the third. The bytes of the module depend on the
// sources and on the compiler's version, and on nothing else of the machine: not on folders or
// caches. So the record contains the compiler's version and a hash of the sources. `check` compares
// the hash on every machine, and all bytes where the compiler is the recorded one.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";

const PAGE = "dlog/proxy/src/page/package";
const DIST = "wasm/npm/dist";
const MODULE = "distributedlog_bg.wasm";
const FILES = [MODULE, "frames.js", "shared.js", "web.js"];
const RECORD = "built-from";

const root = join(import.meta.dirname, "..");
process.chdir(root);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Returns the hash of all that the files are built from. */
function hashOfSources(depInfo) {
  // The compiler's own list of the files that it read. A space in a path is written as `\ `.
  const [, ...compiled] = readFileSync(depInfo, "utf8")
    .trim()
    .split(/(?<!\\) +/);
  const files = [
    ...compiled.map((file) => relative(root, file.replaceAll("\\ ", " "))),
    ...readdirSync("wasm/npm/src").map((file) => `wasm/npm/src/${file}`),
    "tests/lib/targets.sh",
    "wasm/bindgen/Cargo.lock",
    "wasm/bindgen/src/main.rs",
    "wasm/build",
    "wasm/npm/build.js",
    "wasm/npm/tsconfig.json",
  ];
  const hashes = files.sort().map((file) => `${file} ${sha256(readFileSync(file))}`);
  return sha256([...hashes, ...crates(), profile(), ...tools()].join("\n"));
}

/** Returns the versions and features of the crates in the module, without folders. */
function crates() {
  const words = ["--target=wasm32-unknown-unknown", "--edges=normal,build", "--prefix=none"];
  const tree = execFileSync(
    "cargo",
    ["tree", "--locked", "--package=distributedlog-wasm", "--format={p} {f}", ...words],
    { encoding: "utf8" },
  );
  const lines = tree.split("\n").map((line) => line.replaceAll(/ \([^)]*\)/g, "").trim());
  return [...new Set(lines)].sort();
}

/** Returns the Cargo profile of the module. */
function profile() {
  return /\[profile\.device\][^[]*/.exec(readFileSync("Cargo.toml", "utf8"))[0].trim();
}

/** Returns the versions of the tools that make the bundles. */
function tools() {
  const { devDependencies } = JSON.parse(readFileSync("wasm/npm/package.json", "utf8"));
  return ["binaryen", "esbuild"].map((tool) => `${tool} ${devDependencies[tool]}`);
}

function record(depInfo, compiler) {
  const lines = [
    "# Origin of the files in this folder: see wasm/page.js.",
    `compiler: ${compiler}`,
    `sources: ${hashOfSources(depInfo)}`,
    `module: ${sha256(readFileSync(join(DIST, MODULE)))}`,
  ];
  writeFileSync(join(DIST, RECORD), `${lines.join("\n")}\n`);
}

function copy() {
  for (const file of [...FILES, RECORD]) copyFileSync(join(DIST, file), join(PAGE, file));
  console.log(`copied to ${PAGE}; built by ${read(PAGE).compiler}`);
}

/** Returns the entries of a folder's record, none if it has no record. */
function read(folder) {
  const file = join(folder, RECORD);
  if (!existsSync(file)) return {};
  const lines = readFileSync(file, "utf8").matchAll(/^(\w+): (.*)$/gm);
  return Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
}

/** Returns the first difference between the page's files and the build, or `undefined`. */
function difference() {
  const [page, built] = [read(PAGE), read(DIST)];
  if (page.sources !== built.sources) return "the sources have changed since it was built";
  if (page.module !== sha256(readFileSync(join(PAGE, MODULE))))
    return `${MODULE} is not the one that was recorded`;
  if (page.compiler === built.compiler) {
    const differs = (file) =>
      !readFileSync(join(PAGE, file)).equals(readFileSync(join(DIST, file)));
    const file = FILES.find(differs);
    return file && `${file} differs although the sources and the compiler are the same`;
  }
  const compilers = `it was built by ${page.compiler}, and this machine has ${built.compiler}`;
  // With NO_RUSTUP=1 the compiler is Debian's, which builds the page's package. CI sets it, so that
  // the bytes are compared there.
  if (process.env.NO_RUSTUP) return compilers;
  console.log(`the bytes of the module are not compared: ${compilers}`);
  return undefined;
}

function check() {
  const found = difference();
  if (found === undefined) return;
  console.error(`the proxy's page has an old package in ${PAGE}: ${found}`);
  console.error("run this and commit the folder: wasm/build --page");
  process.exit(1);
}

const [command, ...words] = process.argv.slice(2);
({ record, copy, check })[command](...words);
