package interop;

import java.util.Arrays;
import org.apache.thrift.TException;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TMessageType;
import org.apache.thrift.transport.TMemoryBuffer;
import org.apache.thrift.transport.TMemoryInputTransport;

/** A call or an answer of DistributedLogService in thrift's strict binary protocol, as libthrift 0.5.0 writes and reads it. */
record Message(byte kind, String method, int sequence, Struct body) {
    /** The answer of a method that could not be carried out at all. */
    static final int UNKNOWN_METHOD = 1;
    static final int INTERNAL_ERROR = 6;
    static final int PROTOCOL_ERROR = 7;

    static Message call(String method, Struct arguments) {
        return new Message(TMessageType.CALL, method, 0, arguments);
    }

    /** The answer to a call, with its result in field 0; null for a void method. */
    Message reply(Object result) {
        return new Message(TMessageType.REPLY, method, sequence, new Struct().with(0, result));
    }

    Message exception(int type, String message) {
        return new Message(TMessageType.EXCEPTION, method, sequence, new Struct().with(1, message).with(2, type));
    }

    boolean isException() {
        return kind == TMessageType.EXCEPTION;
    }

    byte[] encode() {
        TMemoryBuffer buffer = new TMemoryBuffer(256);
        TBinaryProtocol protocol = new TBinaryProtocol(buffer, true, true);
        try {
            protocol.writeMessageBegin(new TMessage(method, kind, sequence));
            body.write(protocol);
            protocol.writeMessageEnd();
        } catch (TException error) {
            throw new IllegalStateException(error);
        }
        return Arrays.copyOf(buffer.getArray(), buffer.length());
    }

    static Message decode(byte[] bytes) {
        TMemoryInputTransport input = new TMemoryInputTransport(bytes);
        TBinaryProtocol protocol = new TBinaryProtocol(input, true, true);
        try {
            TMessage head = protocol.readMessageBegin();
            Struct body = Struct.read(protocol);
            protocol.readMessageEnd();
            if (input.getBytesRemainingInBuffer() != 0) {
                throw new IllegalStateException(input.getBytesRemainingInBuffer() + " bytes behind the message");
            }
            return new Message(head.type, head.name, head.seqid, body);
        } catch (TException error) {
            throw new IllegalStateException("not a thrift message", error);
        }
    }
}
