export { Dlsn } from "./dlsn.js";
export {
  AbortedError,
  ClosedError,
  DistributedLogError,
  ExhaustedError,
  ForbiddenError,
  LoadError,
  ReadError,
  RefusedError,
  SettingsError,
  TimedOutError,
  TooLargeError,
  WriteError,
} from "./errors.js";
export { init } from "./load.js";
export { MultiStreamReader } from "./reader.js";
export { MultiStreamWriter } from "./writer.js";
