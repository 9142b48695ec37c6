package interop;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.distributedlog.DLSN;

/** What a proxy answered, as a Java user knows it. */
record Answer(Message message) {
    static Answer of(byte[] bytes) {
        return new Answer(Message.decode(bytes));
    }

    private Struct result() {
        if (message.isException()) {
            throw new IllegalStateException(this.toString());
        }
        return message.body().struct(0);
    }

    /** The status code of a WriteResponse or BulkWriteResponse. */
    int code() {
        return result().struct(1).i32(1);
    }

    String error() {
        return result().struct(1).text(2);
    }

    /** Where the owner is: "1;shard;host:port". */
    String location() {
        return result().struct(1).text(3);
    }

    DLSN dlsn() {
        String text = result().text(2);
        return text == null ? null : DLSN.deserialize(text);
    }

    /** The answers to a bulk write's records. */
    List<Answer> each() {
        List<Struct> structs = result().list(2);
        return structs.stream().map(struct -> new Answer(message.reply(struct))).toList();
    }

    /** Of a handshake: 100 takes every stream, 200 only those that it owns, 300 none. */
    int serverStatus() {
        return result().i32(2);
    }

    Map<String, String> ownerships() {
        return new TreeMap<>(result().texts(1));
    }

    boolean isVoid() {
        return !message.isException() && !message.body().has(0);
    }

    int exceptionType() {
        return message.isException() ? message.body().i32(2) : 0;
    }

    String exceptionMessage() {
        return message.isException() ? message.body().text(1) : null;
    }

    @Override
    public String toString() {
        if (message.isException()) {
            return "exception " + exceptionType() + ": " + exceptionMessage();
        }
        return isVoid() ? "void" : code() + " " + location() + " " + dlsn() + " " + error();
    }
}
