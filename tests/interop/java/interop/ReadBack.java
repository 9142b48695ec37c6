package interop;

import java.io.BufferedReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.distributedlog.DLSN;
import org.apache.distributedlog.DistributedLogConfiguration;
import org.apache.distributedlog.LogRecordWithDLSN;
import org.apache.distributedlog.api.DistributedLogManager;
import org.apache.distributedlog.api.LogReader;
import org.apache.distributedlog.api.namespace.Namespace;
import org.apache.distributedlog.api.namespace.NamespaceBuilder;

/**
 * Reads streams with DistributedLog's own reader, of whatever version is on the class path, and compares with what a writer was told.
 * Arguments: the namespace, and a file with a line for each acknowledged record: its stream, the three numbers of its DLSN, its text.
 */
public final class ReadBack {
    private int records;
    private int copies;

    private ReadBack() {}

    /** What the writer was told of one stream. */
    private static final class Told {
        final Map<DLSN, String> records = new HashMap<>();
        /** By log segment and entry, how many records its set has. */
        final Map<DLSN, Integer> sets = new HashMap<>();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Told> told = new TreeMap<>();
        Set<String> texts = new HashSet<>();
        try (BufferedReader lines = Files.newBufferedReader(Path.of(arguments[1]))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] parts = line.split("\t");
                DLSN position = new DLSN(Long.parseLong(parts[1]), Long.parseLong(parts[2]), Long.parseLong(parts[3]));
                Told stream = told.computeIfAbsent(parts[0], name -> new Told());
                String other = stream.records.put(position, parts[4]);
                Checks.that("two records at " + position + ": " + other + ", " + parts[4], other == null);
                stream.sets.merge(entry(position), 1, Integer::sum);
                texts.add(parts[4]);
            }
        }
        Checks checks = new Checks();
        DistributedLogConfiguration settings = new DistributedLogConfiguration();
        try (Closing namespace = new Closing(NamespaceBuilder.newBuilder().conf(settings).uri(URI.create(arguments[0])).clientId("read-back").build())) {
            for (Map.Entry<String, Told> stream : told.entrySet()) {
                ReadBack read = new ReadBack();
                checks.scenario("read " + stream.getKey() + " as it was acknowledged", () -> read.stream(namespace.it(), stream.getKey(), stream.getValue(), texts));
                System.out.printf("    %d records, %d of them copies%n", read.records, read.copies);
            }
        }
        System.exit(checks.finish() ? 0 : 1);
    }

    /** Namespaces are closed, but not closeable. */
    private record Closing(Namespace it) implements AutoCloseable {
        @Override
        public void close() {
            it.close();
        }
    }

    private static DLSN entry(DLSN position) {
        return new DLSN(position.getLogSegmentSequenceNo(), position.getEntryId(), 0);
    }

    private void stream(Namespace namespace, String name, Told told, Set<String> texts) throws Exception {
        Map<DLSN, String> missing = new HashMap<>(told.records);
        Map<DLSN, Integer> sizes = new HashMap<>();
        DLSN last = null;
        long end = System.nanoTime() + Checks.PATIENCE.toNanos();
        try (DistributedLogManager log = namespace.openLog(name); LogReader reader = log.openLogReader(DLSN.InitialDLSN)) {
            while (true) {
                // Null when it has come to the stream's end; it may look further the next time.
                LogRecordWithDLSN record = reader.readNext(false);
                if (record == null) {
                    if (missing.isEmpty() || System.nanoTime() > end) {
                        break;
                    }
                    continue;
                }
                DLSN position = record.getDlsn();
                String text = new String(record.getPayload(), StandardCharsets.UTF_8);
                Checks.that("positions go up: " + last + ", then " + position, last == null || last.compareTo(position) < 0);
                Checks.that("at " + position + " is what nobody wrote: " + text, texts.contains(text));
                String acknowledged = missing.remove(position);
                if (acknowledged == null) {
                    copies++;
                } else {
                    Checks.equal("the record at " + position, acknowledged, text);
                }
                Checks.equal("the next slot of " + entry(position), (long) sizes.merge(entry(position), 1, Integer::sum) - 1, position.getSlotId());
                last = position;
                records++;
            }
        }
        Checks.that(missing.size() + " acknowledged records are missing, one of them " + missing.entrySet().stream().findFirst(), missing.isEmpty());
        for (Map.Entry<DLSN, Integer> set : told.sets.entrySet()) {
            Checks.equal("the records in the set at " + set.getKey(), set.getValue(), sizes.get(set.getKey()));
        }
    }
}
