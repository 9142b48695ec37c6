package peer;

import com.sun.management.OperatingSystemMXBean;
import io.netty.buffer.ByteBuf;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.distributedlog.DLSN;
import org.apache.distributedlog.LogRecord;
import org.apache.distributedlog.LogRecordSet;
import org.apache.distributedlog.LogRecordWithDLSN;
import org.apache.distributedlog.api.AsyncLogReader;
import org.apache.distributedlog.api.AsyncLogWriter;
import org.apache.distributedlog.api.DistributedLogManager;
import org.apache.distributedlog.api.namespace.Namespace;
import org.apache.distributedlog.api.namespace.NamespaceBuilder;
import org.apache.distributedlog.io.CompressionCodec;

/**
 * Speed of DistributedLog's core. Arguments: the namespace's URI, and settings `key=value` over
 * those of a write proxy.
 *
 * <p>Commands:
 *
 * <ul>
 *   <li>`write PREFIX [logs=1] [window=64] [record=100] [per_set=1] [seconds=4] [warm_up=2]
 *       [codec=NONE]` writes record sets of so many records to the logs `PREFIX-0`... in turn, with
 *       so many records in flight, and prints `records_per_s`, `sets_per_s`, `p50_ms` and `p99_ms`
 *       of a set, `cpu_s` of this process, `seconds`, `records`, `errors`
 *   <li>`read PREFIX [logs=1]` reads the logs from the start, each to its last record, and prints
 *       `records_per_s`, `records`, `cpu_s`, `seconds`
 * </ul>
 */
public final class Bench {
    private static final int MAX_SAMPLES = 4_000_000;
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private final Namespace namespace;

    private Bench(Namespace namespace) {
        this.namespace = namespace;
    }

    public static void main(String[] arguments) throws Exception {
        Commands.Words words = Commands.words(arguments, 1);
        Namespace namespace =
                NamespaceBuilder.newBuilder()
                        .conf(Log.proxySettings(words.settings()))
                        .uri(URI.create(arguments[0]))
                        .clientId("bench")
                        .build();
        new Out().with("ready", "bench").print();
        Commands.serve(new Bench(namespace)::run);
    }

    private void run(String name, Commands.Words words) throws Exception {
        switch (name) {
            case "write" -> write(words);
            case "read" -> read(words);
            default -> throw new IllegalArgumentException(name);
        }
    }

    private List<DistributedLogManager> logs(Commands.Words words) throws Exception {
        List<DistributedLogManager> logs = new ArrayList<>();
        for (long index = 0; index < words.number("logs", 1); index++) {
            logs.add(namespace.openLog(words.text(0) + "-" + index));
        }
        return logs;
    }

    private void write(Commands.Words words) throws Exception {
        List<AsyncLogWriter> writers = new ArrayList<>();
        for (DistributedLogManager log : logs(words)) {
            writers.add(log.openAsyncLogWriter().get());
        }
        load(writers, words, words.number("warm_up", 2)).stop();
        Load load = load(writers, words, words.number("seconds", 4));
        load.stop();
        load.print();
        for (AsyncLogWriter writer : writers) {
            writer.asyncClose().get();
        }
    }

    /** Writes for so many seconds. */
    private static Load load(List<AsyncLogWriter> writers, Commands.Words words, long seconds)
            throws Exception {
        int perSet = (int) words.number("per_set", 1);
        CompressionCodec.Type codec = CompressionCodec.Type.valueOf(words.text("codec", "NONE"));
        byte[] record = Payload.of("bench", 0, (int) words.number("record", 100));
        Load load = new Load((int) Math.max(1, words.number("window", 64) / perSet), perSet);
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        for (int turn = 0; System.nanoTime() < end; turn++) {
            load.room.acquire();
            long began = System.nanoTime();
            LogRecordSet.Writer set =
                    LogRecordSet.newWriter(perSet * (record.length + 4) + 64, codec);
            for (int index = 0; index < perSet; index++) {
                set.writeRecord(ByteBuffer.wrap(record), new CompletableFuture<>());
            }
            ByteBuf buffer = set.getBuffer();
            LogRecord whole = new LogRecord(System.currentTimeMillis(), buffer.nioBuffer());
            whole.setRecordSet();
            AsyncLogWriter writer = writers.get(turn % writers.size());
            writer.write(whole)
                    .whenComplete(
                            (dlsn, error) -> {
                                // The set's writer keeps references of its own and drops none: the
                                // pool would run out of direct memory.
                                buffer.release(buffer.refCnt());
                                load.ended(began, error);
                            });
        }
        return load;
    }

    private void read(Commands.Words words) throws Exception {
        long began = System.nanoTime();
        long cpu = SYSTEM.getProcessCpuTime();
        long records = 0;
        for (DistributedLogManager log : logs(words)) {
            DLSN last = log.getLastDLSN();
            AsyncLogReader reader = log.openAsyncLogReader(DLSN.InitialDLSN).get();
            boolean more = true;
            while (more) {
                for (LogRecordWithDLSN record : reader.readBulk(1024).get()) {
                    records++;
                    more = record.getDlsn().compareTo(last) < 0;
                }
            }
            reader.asyncClose().get();
            log.close();
        }
        double seconds = (System.nanoTime() - began) / 1e9;
        Out line = new Out().with("records_per_s", records / seconds).with("records", records);
        line.with("cpu_s", (SYSTEM.getProcessCpuTime() - cpu) / 1e9).with("seconds", seconds);
        line.print();
    }

    /** What is in flight, and what has ended. */
    private static final class Load {
        final Semaphore room;
        private final int window;
        private final int perSet;
        private final long began = System.nanoTime();
        private final long cpu = SYSTEM.getProcessCpuTime();
        private final AtomicInteger sets = new AtomicInteger();
        private final AtomicLong errors = new AtomicLong();
        private final long[] latencies = new long[MAX_SAMPLES];
        private double seconds;
        private double cpuSeconds;

        Load(int window, int perSet) {
            this.window = window;
            this.perSet = perSet;
            room = new Semaphore(window);
        }

        void ended(long started, Throwable error) {
            if (error == null) {
                int index = sets.getAndIncrement();
                if (index < MAX_SAMPLES) {
                    latencies[index] = System.nanoTime() - started;
                }
            } else {
                errors.incrementAndGet();
            }
            room.release();
        }

        /** Waits for what is in flight. */
        void stop() throws InterruptedException {
            room.acquire(window);
            seconds = (System.nanoTime() - began) / 1e9;
            cpuSeconds = (SYSTEM.getProcessCpuTime() - cpu) / 1e9;
        }

        void print() {
            int samples = Math.min(sets.get(), MAX_SAMPLES);
            Arrays.sort(latencies, 0, samples);
            long records = (long) sets.get() * perSet;
            Out line = new Out().with("records_per_s", records / seconds);
            line.with("sets_per_s", sets.get() / seconds);
            line.with("p50_ms", samples == 0 ? 0 : latencies[samples / 2] / 1e6);
            line.with("p99_ms", samples == 0 ? 0 : latencies[(int) (samples * 0.99)] / 1e6);
            line.with("cpu_s", cpuSeconds).with("seconds", seconds).with("records", records);
            line.with("errors", errors.get()).print();
        }
    }
}
