package interop;

import java.io.IOException;
import java.net.URI;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.distributedlog.DLSN;
import org.apache.distributedlog.DistributedLogConfiguration;
import org.apache.distributedlog.LogRecord;
import org.apache.distributedlog.api.AsyncLogWriter;
import org.apache.distributedlog.api.DistributedLogManager;
import org.apache.distributedlog.api.namespace.Namespace;
import org.apache.distributedlog.api.namespace.NamespaceBuilder;

/** The streams that a proxy owns: one writer of DistributedLog's own each, which holds the stream's lock in ZooKeeper. */
final class Streams {
    private final Namespace namespace;
    private final Map<String, CompletableFuture<Owned>> owned = new ConcurrentHashMap<>();
    private final String self;

    private record Owned(DistributedLogManager manager, AsyncLogWriter writer, AtomicLong transaction) {
        /** The next transaction id: the time, or one more than the last. */
        long next() {
            return transaction.updateAndGet(last -> Math.max(last + 1, System.currentTimeMillis()));
        }
    }

    /** `self` stands in the locks as the owner: what redirects say. */
    Streams(URI namespace, String self) throws IOException {
        DistributedLogConfiguration settings = new DistributedLogConfiguration()
                .setImmediateFlushEnabled(true)
                .setOutputBufferSize(0)
                .setPeriodicFlushFrequencyMilliSeconds(0)
                .setCreateStreamIfNotExists(true)
                .setWriteLockEnabled(true)
                // Whoever does not get the lock at once is told who has it.
                .setLockTimeout(0)
                // The least that ZooKeeper grants here: a dead owner's locks are free after it.
                .setZKSessionTimeoutSeconds(6)
                .setEnsembleSize(3)
                .setWriteQuorumSize(3)
                .setAckQuorumSize(2);
        this.namespace = NamespaceBuilder.newBuilder().conf(settings).uri(namespace).clientId(self).build();
        this.self = self;
    }

    /** The writer of a stream, which is acquired and recovered if need be. One that could not be had is asked for again the next time. */
    private CompletableFuture<Owned> acquire(String stream) {
        CompletableFuture<Owned> acquired = owned.computeIfAbsent(stream, name -> {
            // Opening blocks on ZooKeeper.
            return CompletableFuture.supplyAsync(() -> {
                        try {
                            return namespace.openLog(name);
                        } catch (IOException error) {
                            throw new java.util.concurrent.CompletionException(error);
                        }
                    })
                    .thenCompose(log -> log.openAsyncLogWriter().thenApply(writer -> new Owned(log, writer, new AtomicLong(writer.getLastTxId()))));
        });
        acquired.whenComplete((writer, error) -> {
            if (error != null) {
                owned.remove(stream, acquired);
            }
        });
        return acquired;
    }

    /** Does something with the stream's writer. A failure drops the writer: the next request acquires the stream again. */
    private <T> CompletableFuture<T> with(String stream, Function<Owned, CompletableFuture<T>> work) {
        CompletableFuture<Owned> acquired = acquire(stream);
        return acquired.thenCompose(it -> work.apply(it).whenComplete((done, error) -> {
            if (error != null && owned.remove(stream, acquired)) {
                it.writer().asyncAbort();
            }
        }));
    }

    private static LogRecord record(Owned stream, byte[] data, boolean isRecordSet) {
        LogRecord record = new LogRecord(stream.next(), data);
        if (isRecordSet) {
            record.setRecordSet();
        }
        return record;
    }

    CompletableFuture<DLSN> write(String stream, byte[] data, boolean isRecordSet) {
        return with(stream, it -> {
            // Transaction ids go up in the order of the writes.
            synchronized (it) {
                return it.writer().write(record(it, data, isRecordSet));
            }
        });
    }

    CompletableFuture<List<CompletableFuture<DLSN>>> write(String stream, List<byte[]> data) {
        return with(stream, it -> {
            synchronized (it) {
                return it.writer().writeBulk(data.stream().map(record -> record(it, record, false)).toList());
            }
        });
    }

    CompletableFuture<Boolean> truncate(String stream, DLSN before) {
        return with(stream, it -> it.writer().truncate(before));
    }

    CompletableFuture<Void> touch(String stream) {
        return with(stream, it -> CompletableFuture.completedFuture(null));
    }

    void create(String stream) throws IOException {
        namespace.createLog(stream);
    }

    /** Completes the log segment and gives the lock back. */
    CompletableFuture<Void> release(String stream) {
        CompletableFuture<Owned> writer = owned.remove(stream);
        return writer == null
                ? CompletableFuture.completedFuture(null)
                : writer.thenCompose(it -> it.writer().asyncClose().thenCompose(done -> it.manager().asyncClose()));
    }

    CompletableFuture<Void> delete(String stream) {
        return release(stream).thenRunAsync(() -> {
            try {
                namespace.deleteLog(stream);
            } catch (IOException error) {
                throw new java.util.concurrent.CompletionException(error);
            }
        });
    }

    /** Which of the streams whose names match are owned, and by whom: this proxy. */
    Map<String, String> ownerships(String regex) {
        Map<String, String> ownerships = new TreeMap<>();
        owned.forEach((stream, writer) -> {
            if (stream.matches(regex) && writer.isDone() && !writer.isCompletedExceptionally()) {
                ownerships.put(stream, self);
            }
        });
        return ownerships;
    }

    void close() {
        String held = owned.keySet().stream().sorted().collect(Collectors.joining(", "));
        CompletableFuture.allOf(owned.keySet().stream().map(this::release).toArray(CompletableFuture[]::new)).join();
        namespace.close();
        System.out.println("released " + held);
        System.out.flush();
    }
}
