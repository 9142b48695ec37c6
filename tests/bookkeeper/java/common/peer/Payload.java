package peer;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Payloads that say which they are: `PREFIX-NUMBER`, then dots up to a size. */
final class Payload {
    private Payload() {}

    static byte[] of(String prefix, long number, int size) {
        byte[] text = (prefix + "-" + number).getBytes(StandardCharsets.UTF_8);
        byte[] payload = Arrays.copyOf(text, Math.max(size, text.length));
        Arrays.fill(payload, text.length, payload.length, (byte) '.');
        return payload;
    }
}
