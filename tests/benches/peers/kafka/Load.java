import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Load on Kafka, by the client with which kafka-producer-perf-test measures too.
 *
 * <pre>
 * Load write ADDRESS TOPIC BYTES IN_FLIGHT WARM_UP_MS MEASURE_MS LINGER_MS BATCH_BYTES
 * Load read  ADDRESS TOPIC LIMIT MEASURE_MS
 * </pre>
 *
 * Prints {@code measuring} when the measurement begins, and {@code result RECORDS SECONDS P50_US
 * P99_US} at its end. Then it waits until its input ends, so that its processor time can be read.
 */
final class Load {
    private static long[] latencies = new long[1 << 20];
    private static int measured;

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("write")) {
            write(arguments);
        } else {
            read(arguments);
        }
        while (System.in.read() >= 0) {}
        Runtime.getRuntime().halt(0);
    }

    private static Properties properties(String address) {
        var properties = new Properties();
        properties.put("bootstrap.servers", address);
        return properties;
    }

    private static void write(String[] arguments) throws Exception {
        var topic = arguments[2];
        var record = new byte[Integer.parseInt(arguments[3])];
        Arrays.fill(record, (byte) 'r');
        var inFlight = Integer.parseInt(arguments[4]);
        try (var admin = Admin.create(properties(arguments[1]))) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
        }
        var properties = properties(arguments[1]);
        properties.put("acks", "all");
        properties.put("linger.ms", arguments[7]);
        properties.put("batch.size", arguments[8]);
        properties.put("buffer.memory", 128L << 20);
        var producer =
                new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
        // The topic's metadata and the first connection are no part of the measurement.
        producer.send(new ProducerRecord<>(topic, record)).get();
        var room = new Semaphore(inFlight);
        var from = System.nanoTime() + Long.parseLong(arguments[5]) * 1_000_000;
        var end = from + Long.parseLong(arguments[6]) * 1_000_000;
        var written = new AtomicLong();
        var measuring = false;
        while (true) {
            var began = System.nanoTime();
            if (!measuring && began - from >= 0) {
                measuring = true;
                written.set(0);
                System.out.println("measuring");
            }
            if (began - end >= 0) break;
            if (inFlight == 1) {
                producer.send(new ProducerRecord<>(topic, record)).get();
                written.incrementAndGet();
                if (measuring && measured < latencies.length)
                    latencies[measured++] = System.nanoTime() - began;
                continue;
            }
            room.acquire();
            producer.send(
                    new ProducerRecord<>(topic, record),
                    (position, failure) -> {
                        if (failure != null) {
                            failure.printStackTrace();
                            Runtime.getRuntime().halt(1);
                        }
                        written.incrementAndGet();
                        room.release();
                    });
        }
        result(written.get(), System.nanoTime() - from);
    }

    private static void result(long records, long nanos) {
        Arrays.sort(latencies, 0, measured);
        var p50 = measured == 0 ? 0 : latencies[measured / 2] / 1000;
        var p99 = measured == 0 ? 0 : latencies[(int) (measured * 0.99)] / 1000;
        System.out.println("result " + records + " " + nanos / 1e9 + " " + p50 + " " + p99);
    }

    /** Passes from the start, of at most LIMIT records each; the first is not measured. */
    private static void read(String[] arguments) {
        var properties = properties(arguments[1]);
        // As kafka-consumer-perf-test does: checksums are compared, which is the default.
        properties.put("fetch.max.bytes", 50 << 20);
        properties.put("max.partition.fetch.bytes", 8 << 20);
        properties.put("max.poll.records", 100_000);
        var consumer =
                new KafkaConsumer<>(
                        properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var partition = new TopicPartition(arguments[2], 0);
        consumer.assign(List.of(partition));
        Map<TopicPartition, Long> ends = consumer.endOffsets(List.of(partition));
        var count = Math.min(ends.get(partition), Long.parseLong(arguments[3]));
        pass(consumer, count);
        System.out.println("measuring");
        var from = System.nanoTime();
        var records = 0L;
        while (records == 0
                || System.nanoTime() - from < Long.parseLong(arguments[4]) * 1_000_000) {
            records += pass(consumer, count);
        }
        result(records, System.nanoTime() - from);
    }

    private static long pass(KafkaConsumer<byte[], byte[]> consumer, long count) {
        consumer.seekToBeginning(consumer.assignment());
        var read = 0L;
        while (read < count) {
            read += consumer.poll(Duration.ofSeconds(10)).count();
        }
        return read;
    }
}
