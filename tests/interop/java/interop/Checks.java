package interop;

import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.function.Predicate;

/** Says what was found, and counts. A check that fails ends its scenario; the others go on. */
final class Checks {
    /** No step takes this long unless something hangs: loaded machines have that much patience. */
    static final Duration PATIENCE = Duration.ofSeconds(60);

    private int passed;
    private int failed;

    /** A scenario's steps. */
    interface Scenario {
        void run() throws Exception;
    }

    void scenario(String name, Scenario steps) {
        long began = System.nanoTime();
        try {
            steps.run();
            passed++;
            System.out.printf("ok: %s (%d ms)%n", name, (System.nanoTime() - began) / 1_000_000);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("FAILED: " + name);
            error.printStackTrace(System.out);
        }
        System.out.flush();
    }

    /** The last line of a run; whether nothing failed. */
    boolean finish() {
        System.out.printf("%d passed, %d failed%n", passed, failed);
        System.out.flush();
        return failed == 0;
    }

    static void equal(String what, Object expected, Object actual) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError(what + ": expected " + expected + ", but it is " + actual);
        }
    }

    static void that(String what, boolean is) {
        if (!is) {
            throw new AssertionError(what);
        }
    }

    static void contains(String what, String part, String text) {
        that(what + ": no \"" + part + "\" in \"" + text + "\"", text != null && text.contains(part));
    }

    /** Waits until what is looked at is as it should be; that last look. */
    static <T> T eventually(String what, Callable<T> look, Predicate<T> is) throws Exception {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            T seen = look.call();
            if (is.test(seen)) {
                return seen;
            }
            if (System.nanoTime() > end) {
                throw new AssertionError(what + " did not come within " + PATIENCE + "; it is " + seen);
            }
            Thread.sleep(20);
        }
    }
}
