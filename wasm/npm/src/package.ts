import { publish } from "./brand.js";
import * as classes from "./classes.js";
import { ReadRecord } from "./record.js";

for (const [name, value] of Object.entries(classes)) publish(name, value);
publish("ReadRecord", ReadRecord);

export * from "./classes.js";
export { init } from "./load.js";
