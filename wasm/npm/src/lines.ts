import type { FetchBody } from "../types/index.js";

/**
 * Longest line accepted, in characters. The largest record, 1 MB, takes less than 1.5 million in
 * base64.
 */
const MAX_LINE_CHARS = 4 * 1024 * 1024;

/**
 * Yields the lines of a response, in one array for each chunk: those that the chunk completes,
 * possibly none.
 */
export async function* lines(body: FetchBody): AsyncGenerator<string[], void, void> {
  const reader = body.getReader();
  const utf8 = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const pieces = (rest + utf8.decode(value, { stream: true })).split("\n");
      rest = pieces.pop() ?? "";
      if (rest.length > MAX_LINE_CHARS)
        throw new Error(
          `the server sent a line of more than ${MAX_LINE_CHARS} characters: is it a write proxy?`,
        );
      yield pieces;
    }
  } finally {
    // Releases the connection, also when the consumer leaves the loop early.
    await reader.cancel().catch(() => {});
  }
}
