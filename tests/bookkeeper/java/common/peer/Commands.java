package peer;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Commands from standard input, one a line: a name, then positional words and settings `key=value`.
 * What a command finds is printed as lines of JSON; its last line is `{"done":NAME}` or
 * `{"error":TEXT}`. The end of the input ends the process, however its parent ended.
 */
final class Commands {
    /** One command's words. */
    static final class Words {
        private final List<String> positional = new ArrayList<>();
        private final Map<String, String> settings = new HashMap<>();

        private Words(String[] words) {
            for (String word : words) {
                int sign = word.indexOf('=');
                if (sign < 0) {
                    positional.add(word);
                } else {
                    settings.put(word.substring(0, sign), word.substring(sign + 1));
                }
            }
        }

        String text(int index) {
            return positional.get(index);
        }

        long number(int index) {
            return Long.parseLong(text(index));
        }

        String text(String key, String otherwise) {
            return settings.getOrDefault(key, otherwise);
        }

        long number(String key, long otherwise) {
            return Long.parseLong(text(key, Long.toString(otherwise)));
        }

        boolean flag(String key, boolean otherwise) {
            return Boolean.parseBoolean(text(key, Boolean.toString(otherwise)));
        }

        Map<String, String> settings() {
            return settings;
        }
    }

    /** Runs one command. */
    interface Handler {
        void run(String name, Words words) throws Exception;
    }

    private Commands() {}

    static Words words(String[] arguments, int from) {
        return new Words(Arrays.copyOfRange(arguments, from, arguments.length));
    }

    /** Runs the commands until the input ends. */
    static void serve(Handler handler) throws IOException {
        BufferedReader input =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            run(handler, line);
        }
        Runtime.getRuntime().halt(0);
    }

    /** Runs one command, and prints how it ended. */
    static void run(Handler handler, String line) {
        String[] parts = line.trim().split(" +");
        try {
            handler.run(parts[0], words(parts, 1));
            new Out().with("done", parts[0]).print();
        } catch (Exception | LinkageError | AssertionError error) {
            error.printStackTrace();
            new Out().with("error", Out.text(error)).print();
        }
    }
}
