import { Dlsn } from "./dlsn.js";
import {
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
import { MultiStreamReader } from "./reader.js";
import { ReadRecord } from "./record.js";
import { MultiStreamWriter } from "./writer.js";

// Minified classes have other names. `console.log`, debuggers and `Error.name` show these.
for (const [name, value] of Object.entries({
  AbortedError,
  ClosedError,
  DistributedLogError,
  Dlsn,
  ExhaustedError,
  ForbiddenError,
  LoadError,
  MultiStreamReader,
  MultiStreamWriter,
  ReadError,
  ReadRecord,
  RefusedError,
  SettingsError,
  TimedOutError,
  TooLargeError,
  WriteError,
}))
  Object.defineProperty(value, "name", { value: name });

export { init } from "./load.js";
export { Dlsn, MultiStreamReader, MultiStreamWriter };
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
};
