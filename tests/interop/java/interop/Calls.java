package interop;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.zip.CRC32;

/**
 * The thirteen methods of DistributedLogService. Scrooge numbers the arguments -1, -2, -3, because the IDL does not, and writes the last one
 * first.
 */
final class Calls {
    private Calls() {}

    /** What a request carries besides its arguments; each may be null. */
    record Context(Set<String> triedHosts, Long crc32, Boolean isRecordSet) {
        static final Context NONE = new Context(null, null, null);

        static Context withChecksum(long crc32) {
            return new Context(Set.of(), crc32, null);
        }

        static Context recordSet() {
            return new Context(null, null, true);
        }

        private Struct struct() {
            return new Struct().with(1, triedHosts).with(2, crc32).with(3, isRecordSet);
        }
    }

    static Message handshake() {
        return Message.call("handshake", new Struct());
    }

    static Message handshake(String streamNameRegex, Boolean ownerships) {
        Struct info = new Struct().with(1, streamNameRegex).with(2, ownerships);
        return Message.call("handshakeWithClientInfo", new Struct().with(-1, info));
    }

    static Message heartbeat(String stream) {
        return onStream("heartbeat", stream);
    }

    static Message heartbeat(String stream, boolean toReader) {
        Struct options = new Struct().with(1, toReader);
        return Message.call("heartbeatWithOptions", new Struct().with(-3, options).with(-2, Context.NONE.struct()).with(-1, stream));
    }

    static Message write(String stream, byte[] data) {
        return Message.call("write", new Struct().with(-2, data).with(-1, stream));
    }

    static Message write(String stream, byte[] data, Context context) {
        return Message.call("writeWithContext", new Struct().with(-3, context.struct()).with(-2, data).with(-1, stream));
    }

    static Message writeBulk(String stream, List<byte[]> data) {
        return Message.call("writeBulkWithContext", new Struct().with(-3, Context.NONE.struct()).with(-2, data).with(-1, stream));
    }

    static Message truncate(String stream, String dlsn) {
        return Message.call("truncate", new Struct().with(-3, Context.NONE.struct()).with(-2, dlsn).with(-1, stream));
    }

    static Message release(String stream) {
        return onStream("release", stream);
    }

    static Message create(String stream) {
        return onStream("create", stream);
    }

    static Message delete(String stream) {
        return onStream("delete", stream);
    }

    static Message owner(String stream) {
        return onStream("getOwner", stream);
    }

    static Message setAcceptNewStream(boolean enabled) {
        return Message.call("setAcceptNewStream", new Struct().with(-1, enabled));
    }

    private static Message onStream(String method, String stream) {
        return Message.call(method, new Struct().with(-2, Context.NONE.struct()).with(-1, stream));
    }

    /** What the original's client computes over a write: the stream's name, then the record. */
    static long checksum(String stream, byte[] data) {
        CRC32 crc = new CRC32();
        crc.update(stream.getBytes(StandardCharsets.UTF_8));
        crc.update(data);
        return crc.getValue();
    }
}
