package com.twitter.finagle.thrift;

import com.twitter.finagle.stats.Counter;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.transport.TTransport;

/**
 * Takes the place of Finagle 6.34's class of this name, which reads the inside of Strings to write them faster. Since Java 9 there is nothing
 * to read there any more, and every framed client fails. The bytes are the same.
 */
@SuppressWarnings("checkstyle:TypeName")
public class Protocols$TFinagleBinaryProtocol extends TBinaryProtocol {
    /** As Finagle calls it. */
    public Protocols$TFinagleBinaryProtocol(
            TTransport transport, Counter fastEncodeFailed, Counter largerThanBuffer, boolean strictRead, boolean strictWrite) {
        super(transport, strictRead, strictWrite);
    }
}
