package peer;

import java.net.URI;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.distributedlog.DLSN;
import org.apache.distributedlog.DistributedLogConfiguration;
import org.apache.distributedlog.LogRecord;
import org.apache.distributedlog.LogRecordSet;
import org.apache.distributedlog.LogRecordWithDLSN;
import org.apache.distributedlog.LogSegmentMetadata;
import org.apache.distributedlog.api.AsyncLogReader;
import org.apache.distributedlog.api.AsyncLogWriter;
import org.apache.distributedlog.api.DistributedLogManager;
import org.apache.distributedlog.api.LogReader;
import org.apache.distributedlog.api.namespace.Namespace;
import org.apache.distributedlog.api.namespace.NamespaceBuilder;
import org.apache.distributedlog.io.CompressionCodec;

/**
 * DistributedLog's core. Arguments: the namespace's URI, the client id that locks name, and
 * settings `key=value` over those of a write proxy.
 *
 * <p>Commands (a DLSN is `SEGMENT,ENTRY,SLOT`):
 *
 * <ul>
 *   <li>`create LOG`, `delete LOG`, `list` (prints `log`), `segments LOG`
 *   <li>`open LOG` makes this process the log's owner, until `close LOG` or `abort LOG`; prints
 *       `last_txid`
 *   <li>`write LOG COUNT [prefix=record] [first=0] [size=0] [txid=NOW] [window=1]` writes one at a
 *       time; `bulk LOG COUNT` all in one call; `set LOG COUNT [codec=NONE|LZ4]` as one record set.
 *       Each prints `dlsn`, `txid` and payload of a record as it is acknowledged, in `set` of the
 *       set; records are called `PREFIX-NUMBER`. All end with the first failure as their error.
 *   <li>`end LOG` marks the end of the stream; `truncate LOG DLSN`
 *   <li>`read LOG [from=DLSN] [sets=expanded|plain]` prints the records that a reader finds until it
 *       is at the end; `tail LOG COUNT [from=DLSN]` waits for that many
 *   <li>`recover LOG` opens and closes a writer
 * </ul>
 */
public final class Log {
    private static final long LIMIT_SECONDS = 60;

    private final URI uri;
    private final String clientId;
    private final Map<String, String> settings;
    private final Namespace namespace;
    private final Map<String, AsyncLogWriter> writers = new HashMap<>();

    private Log(URI uri, String clientId, Map<String, String> settings) throws Exception {
        this.uri = uri;
        this.clientId = clientId;
        this.settings = settings;
        namespace = open(Map.of());
    }

    public static void main(String[] arguments) throws Exception {
        Log peer = begin(arguments);
        new Out().with("ready", "log").print();
        Commands.serve(peer::run);
    }

    static Log begin(String[] arguments) throws Exception {
        Commands.Words words = Commands.words(arguments, 2);
        return new Log(URI.create(arguments[0]), arguments[1], words.settings());
    }

    /** The settings of the original's write proxy: each record is an entry, flushed at once. */
    static DistributedLogConfiguration proxySettings(Map<String, String> settings) {
        DistributedLogConfiguration all = new DistributedLogConfiguration();
        all.setLockTimeout(0).setImmediateFlushEnabled(true).setOutputBufferSize(0);
        all.setPeriodicFlushFrequencyMilliSeconds(0);
        settings.forEach(all::setProperty);
        return all;
    }

    private Namespace open(Map<String, String> more) throws Exception {
        DistributedLogConfiguration all = proxySettings(settings);
        more.forEach(all::setProperty);
        return NamespaceBuilder.newBuilder().conf(all).uri(uri).clientId(clientId).build();
    }

    void run(String name, Commands.Words words) throws Exception {
        switch (name) {
            case "create" -> namespace.createLog(words.text(0));
            case "delete" -> namespace.deleteLog(words.text(0));
            case "list" -> {
                for (Iterator<String> logs = namespace.getLogs(); logs.hasNext(); ) {
                    new Out().with("log", logs.next()).print();
                }
            }
            case "segments" -> segments(words.text(0));
            case "open" -> {
                AsyncLogWriter writer = result(log(words).openAsyncLogWriter());
                writers.put(words.text(0), writer);
                new Out().with("last_txid", writer.getLastTxId()).print();
            }
            case "close" -> result(writers.remove(words.text(0)).asyncClose());
            case "abort" -> result(writers.remove(words.text(0)).asyncAbort());
            case "write" -> write(writer(words), words);
            case "bulk" -> bulk(writer(words), words);
            case "set" -> set(writer(words), words);
            case "end" -> result(writer(words).markEndOfStream());
            case "truncate" -> {
                boolean done = result(writer(words).truncate(dlsn(words.text(1))));
                new Out().with("truncated", done).print();
            }
            case "read" -> read(words);
            case "tail" -> tail(words);
            case "recover" -> {
                DistributedLogManager log = log(words);
                result(result(log.openAsyncLogWriter()).asyncClose());
                log.close();
            }
            default -> throw new IllegalArgumentException(name);
        }
    }

    private DistributedLogManager log(Commands.Words words) throws Exception {
        return namespace.openLog(words.text(0));
    }

    private AsyncLogWriter writer(Commands.Words words) {
        return writers.get(words.text(0));
    }

    private static void write(AsyncLogWriter writer, Commands.Words words) throws Exception {
        long count = words.number(1);
        int window = (int) words.number("window", 1);
        Semaphore room = new Semaphore(window);
        AtomicReference<Throwable> failed = new AtomicReference<>();
        for (long index = 0; index < count && failed.get() == null; index++) {
            room.acquire();
            byte[] payload = payload(words, index);
            long txid = txid(words, index);
            writer.write(new LogRecord(txid, payload))
                    .whenComplete(
                            (dlsn, error) -> {
                                if (error == null) {
                                    line(dlsn, txid, false, payload).print();
                                } else {
                                    failed.compareAndSet(null, error);
                                }
                                room.release();
                            });
        }
        room.acquire(window);
        if (failed.get() != null) {
            throw new IllegalStateException("a write failed", failed.get());
        }
    }

    private static void bulk(AsyncLogWriter writer, Commands.Words words) throws Exception {
        List<LogRecord> records = new ArrayList<>();
        for (long index = 0; index < words.number(1); index++) {
            records.add(new LogRecord(txid(words, index), payload(words, index)));
        }
        List<CompletableFuture<DLSN>> results = result(writer.writeBulk(records));
        for (int index = 0; index < records.size(); index++) {
            DLSN dlsn = result(results.get(index));
            long txid = records.get(index).getTransactionId();
            line(dlsn, txid, false, payload(words, index)).print();
        }
    }

    private static void set(AsyncLogWriter writer, Commands.Words words) throws Exception {
        CompressionCodec.Type codec = CompressionCodec.Type.valueOf(words.text("codec", "NONE"));
        LogRecordSet.Writer set = LogRecordSet.newWriter(1024, codec);
        for (long index = 0; index < words.number(1); index++) {
            ByteBuffer payload = ByteBuffer.wrap(payload(words, index));
            set.writeRecord(payload, new CompletableFuture<>());
        }
        ByteBuffer buffer = set.getBuffer().nioBuffer();
        byte[] payload = new byte[buffer.remaining()];
        buffer.get(payload);
        LogRecord record = new LogRecord(txid(words, 0), payload);
        record.setRecordSet();
        line(result(writer.write(record)), record.getTransactionId(), true, payload).print();
    }

    private void segments(String name) throws Exception {
        DistributedLogManager log = namespace.openLog(name);
        for (LogSegmentMetadata segment : log.getLogSegments()) {
            Out line = new Out().with("sequence", segment.getLogSegmentSequenceNumber());
            line.with("ledger", segment.getLogSegmentId());
            line.with("in_progress", segment.isInProgress());
            line.with("first_txid", segment.getFirstTxId()).with("last_txid", segment.getLastTxId());
            line.with("records", segment.getRecordCount());
            line.with("last_entry", segment.getLastEntryId());
            line.with("last_slot", segment.getLastSlotId());
            line.with("start_sequence_id", segment.getStartSequenceId());
            line.with("truncated", segment.isTruncated());
            line.with("partially_truncated", segment.isPartiallyTruncated()).print();
        }
        log.close();
    }

    private void read(Commands.Words words) throws Exception {
        boolean plain = words.text("sets", "expanded").equals("plain");
        Namespace readers = open(Map.of("deserializeRecordSetOnReads", plain ? "false" : "true"));
        DistributedLogManager log = readers.openLog(words.text(0));
        LogReader reader = log.openLogReader(dlsn(words.text("from", "0,0,0")));
        // Null at the end.
        LogRecordWithDLSN record = reader.readNext(false);
        while (record != null) {
            print(record);
            record = reader.readNext(false);
        }
        reader.close();
        log.close();
        readers.close();
    }

    private void tail(Commands.Words words) throws Exception {
        DistributedLogManager log = log(words);
        AsyncLogReader reader = result(log.openAsyncLogReader(dlsn(words.text("from", "0,0,0"))));
        for (long count = words.number(1); count > 0; count--) {
            print(result(reader.readNext()));
        }
        result(reader.asyncClose());
        log.close();
    }

    private static void print(LogRecordWithDLSN record) {
        boolean set = record.isRecordSet();
        Out line = line(record.getDlsn(), record.getTransactionId(), set, record.getPayload());
        line.with("sequence_id", record.getSequenceId());
        line.with("position", record.getPositionWithinLogSegment()).print();
    }

    private static Out line(DLSN dlsn, long txid, boolean set, byte[] payload) {
        Out line = new Out();
        line.numbers("dlsn", dlsn.getLogSegmentSequenceNo(), dlsn.getEntryId(), dlsn.getSlotId());
        return line.with("txid", txid).with("set", set).payload(payload);
    }

    private static byte[] payload(Commands.Words words, long index) {
        long number = words.number("first", 0) + index;
        return Payload.of(words.text("prefix", "record"), number, (int) words.number("size", 0));
    }

    private static long txid(Commands.Words words, long index) {
        long first = words.number("txid", -1);
        return first < 0 ? System.currentTimeMillis() : first + index;
    }

    private static DLSN dlsn(String text) {
        String[] parts = text.split(",");
        return new DLSN(Long.parseLong(parts[0]), Long.parseLong(parts[1]), Long.parseLong(parts[2]));
    }

    private static <T> T result(CompletableFuture<T> future) throws Exception {
        return future.get(LIMIT_SECONDS, TimeUnit.SECONDS);
    }
}
