import initialize from "../dist/glue/distributedlog.js";
import type { ModuleSource } from "../types/index.js";
import { LoadError } from "./errors.js";

let source: () => ModuleSource | Promise<ModuleSource> = () => {
  throw new Error("setSource was not called");
};
let loading: Promise<void> | undefined;

/** Sets the default source of the module. Each entry of the package calls it. */
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
    // The next call tries again: a page can be offline for a while.
    loading = undefined;
    throw new LoadError(error);
  }
}
