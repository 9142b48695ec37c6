package peer;

import java.util.zip.CRC32;

/** A line of JSON on standard output, built field by field. */
final class Out {
    /** Payloads up to this length are printed as they are; of longer ones only length and CRC-32. */
    private static final int SHOWN_BYTES = 4096;

    private final StringBuilder line = new StringBuilder("{");

    Out with(String name, long value) {
        return raw(name, Long.toString(value));
    }

    Out with(String name, boolean value) {
        return raw(name, Boolean.toString(value));
    }

    Out with(String name, double value) {
        return raw(name, String.format("%.3f", value));
    }

    Out with(String name, String value) {
        return raw(name, quoted(value));
    }

    Out numbers(String name, long... values) {
        StringBuilder list = new StringBuilder("[");
        for (long value : values) {
            list.append(list.length() == 1 ? "" : ",").append(value);
        }
        return raw(name, list.append(']').toString());
    }

    Out payload(byte[] payload) {
        CRC32 crc = new CRC32();
        crc.update(payload);
        with("size", payload.length).with("crc32", crc.getValue());
        return payload.length > SHOWN_BYTES ? this : with("payload", hex(payload));
    }

    /** Prints the line. Lines of several threads do not mix. */
    void print() {
        synchronized (System.out) {
            System.out.println(line.append('}'));
            System.out.flush();
        }
    }

    /** An error's type and message, with those of its causes. */
    static String text(Throwable error) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            boolean wrapper =
                    cause instanceof java.util.concurrent.ExecutionException
                            || cause instanceof java.util.concurrent.CompletionException;
            if (!wrapper) {
                text.append(text.length() == 0 ? "" : "; caused by ").append(cause);
            }
        }
        return text.toString();
    }

    private Out raw(String name, String value) {
        line.append(line.length() == 1 ? "" : ",").append(quoted(name)).append(':').append(value);
        return this;
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder(2 * bytes.length);
        for (byte value : bytes) {
            text.append(Character.forDigit(value >> 4 & 15, 16)).append(Character.forDigit(value & 15, 16));
        }
        return text.toString();
    }

    private static String quoted(String value) {
        StringBuilder text = new StringBuilder("\"");
        for (char letter : value.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                text.append('\\').append(letter);
            } else if (letter < ' ') {
                text.append(String.format("\\u%04x", (int) letter));
            } else {
                text.append(letter);
            }
        }
        return text.append('"').toString();
    }
}
