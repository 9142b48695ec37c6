import initialize from "../dist/glue/distributedlog.js";
import type { ModuleSource } from "../types/index.js";
import { LoadError } from "./errors.js";

let source: () => ModuleSource | Promise<ModuleSource> = () => {
  throw new Error("no entry said where the module is");
};
let loading: Promise<void> | undefined;

/** Where the module comes from unless the user says otherwise: each entry of the package says it. */
export function setSource(from: () => ModuleSource | Promise<ModuleSource>): void {
  source = from;
}

export function init(from?: ModuleSource | Promise<ModuleSource>): Promise<void> {
  loading ??= load(from);
  return loading;
}

async function load(from?: ModuleSource | Promise<ModuleSource>): Promise<void> {
  try {
    await initialize({ module_or_path: await (from ?? source()) });
  } catch (error) {
    // The next one may have more luck: a page can be offline for a while.
    loading = undefined;
    throw new LoadError(error);
  }
}
