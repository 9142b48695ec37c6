package interop;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.thrift.TException;
import org.apache.thrift.protocol.TField;
import org.apache.thrift.protocol.TList;
import org.apache.thrift.protocol.TMap;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TSet;
import org.apache.thrift.protocol.TStruct;
import org.apache.thrift.protocol.TType;

/**
 * A thrift struct as its fields by their ids. Values are Boolean, Integer, Long, byte[] (what was a String when it was put in), Struct, and
 * List, Set and Map of these.
 */
final class Struct {
    private final Map<Integer, Object> fields = new LinkedHashMap<>();

    /** Sets a field; null leaves it out. */
    Struct with(int id, Object value) {
        if (value != null) {
            fields.put(id, value);
        }
        return this;
    }

    boolean has(int id) {
        return fields.containsKey(id);
    }

    int i32(int id) {
        return (Integer) fields.get(id);
    }

    Long i64(int id) {
        return (Long) fields.get(id);
    }

    boolean bool(int id) {
        return Boolean.TRUE.equals(fields.get(id));
    }

    byte[] bytes(int id) {
        return (byte[]) fields.get(id);
    }

    /** A string; null when missing, or something else. */
    String text(int id) {
        return fields.get(id) instanceof byte[] bytes ? text(bytes) : null;
    }

    /** A struct; one without fields when missing. */
    Struct struct(int id) {
        return has(id) ? (Struct) fields.get(id) : new Struct();
    }

    @SuppressWarnings("unchecked")
    <T> List<T> list(int id) {
        return has(id) ? (List<T>) fields.get(id) : List.of();
    }

    /** A map of strings. */
    Map<String, String> texts(int id) {
        Map<String, String> texts = new HashMap<>();
        ((Map<?, ?>) fields.getOrDefault(id, Map.of())).forEach((key, value) -> texts.put(text((byte[]) key), text((byte[]) value)));
        return texts;
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    void write(TProtocol to) throws TException {
        to.writeStructBegin(new TStruct(""));
        for (Map.Entry<Integer, Object> field : fields.entrySet()) {
            to.writeFieldBegin(new TField("", type(field.getValue()), field.getKey().shortValue()));
            write(to, field.getValue());
            to.writeFieldEnd();
        }
        to.writeFieldStop();
        to.writeStructEnd();
    }

    private static byte type(Object value) {
        if (value instanceof Boolean) {
            return TType.BOOL;
        } else if (value instanceof Integer) {
            return TType.I32;
        } else if (value instanceof Long) {
            return TType.I64;
        } else if (value instanceof Struct) {
            return TType.STRUCT;
        } else if (value instanceof List) {
            return TType.LIST;
        } else if (value instanceof Set) {
            return TType.SET;
        } else if (value instanceof Map) {
            return TType.MAP;
        }
        return TType.STRING;
    }

    private static void write(TProtocol to, Object value) throws TException {
        if (value instanceof Boolean flag) {
            to.writeBool(flag);
        } else if (value instanceof Integer number) {
            to.writeI32(number);
        } else if (value instanceof Long number) {
            to.writeI64(number);
        } else if (value instanceof Struct struct) {
            struct.write(to);
        } else if (value instanceof byte[] bytes) {
            to.writeBinary(ByteBuffer.wrap(bytes));
        } else if (value instanceof String text) {
            to.writeString(text);
        } else if (value instanceof List<?> list) {
            to.writeListBegin(new TList(list.isEmpty() ? TType.STRING : type(list.get(0)), list.size()));
            for (Object element : list) {
                write(to, element);
            }
            to.writeListEnd();
        } else if (value instanceof Set<?> set) {
            to.writeSetBegin(new TSet(TType.STRING, set.size()));
            for (Object element : set) {
                write(to, element);
            }
            to.writeSetEnd();
        } else if (value instanceof Map<?, ?> map) {
            to.writeMapBegin(new TMap(TType.STRING, TType.STRING, map.size()));
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                write(to, entry.getKey());
                write(to, entry.getValue());
            }
            to.writeMapEnd();
        } else {
            throw new IllegalArgumentException("no thrift value: " + value.getClass());
        }
    }

    static Struct read(TProtocol from) throws TException {
        Struct struct = new Struct();
        from.readStructBegin();
        for (TField field = from.readFieldBegin(); field.type != TType.STOP; field = from.readFieldBegin()) {
            struct.with(field.id, read(from, field.type));
            from.readFieldEnd();
        }
        from.readStructEnd();
        return struct;
    }

    private static Object read(TProtocol from, byte type) throws TException {
        switch (type) {
            case TType.BOOL:
                return from.readBool();
            case TType.I32:
                return from.readI32();
            case TType.I64:
                return from.readI64();
            case TType.STRUCT:
                return read(from);
            case TType.STRING:
                ByteBuffer buffer = from.readBinary();
                byte[] bytes = new byte[buffer.remaining()];
                buffer.get(bytes);
                return bytes;
            case TType.LIST:
                TList list = from.readListBegin();
                List<Object> elements = new ArrayList<>();
                for (int i = 0; i < list.size; i++) {
                    elements.add(read(from, list.elemType));
                }
                from.readListEnd();
                return elements;
            case TType.SET:
                TSet set = from.readSetBegin();
                Set<Object> members = new LinkedHashSet<>();
                for (int i = 0; i < set.size; i++) {
                    members.add(read(from, set.elemType));
                }
                from.readSetEnd();
                return members;
            case TType.MAP:
                TMap map = from.readMapBegin();
                Map<Object, Object> entries = new LinkedHashMap<>();
                for (int i = 0; i < map.size; i++) {
                    Object key = read(from, map.keyType);
                    entries.put(key, read(from, map.valueType));
                }
                from.readMapEnd();
                return entries;
            default:
                throw new TException("a field of type " + type + ", which DistributedLogService has none of");
        }
    }
}
