package interop;

import static interop.Checks.contains;
import static interop.Checks.equal;
import static interop.Checks.that;

import io.netty.buffer.ByteBuf;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.distributedlog.DLSN;
import org.apache.distributedlog.LogRecordSet;
import org.apache.distributedlog.LogRecordSetBuffer;
import org.apache.distributedlog.io.CompressionCodec;

/** The thirteen methods, each answered as a Java user expects it, over one protocol. */
final class Methods {
    private final Peer peer;
    private final String stream;
    private final String here;

    private Methods(Peer peer, String stream, Dlog proxy) {
        this.peer = peer;
        this.stream = stream;
        this.here = "1;1;" + proxy.address();
    }

    static void run(Checks checks, Peer.Protocol protocol, Dlog proxy) throws Exception {
        try (Peer peer = new Peer(protocol, proxy.address())) {
            Methods methods = new Methods(peer, protocol.name().toLowerCase() + "-stream", proxy);
            checks.scenario(protocol + ": create, write, write with a context", methods::writes);
            checks.scenario(protocol + ": a bulk write", methods::bulk);
            checks.scenario(protocol + ": record sets of the original's writer, plain and LZ4", methods::recordSets);
            checks.scenario(protocol + ": heartbeats", methods::heartbeats);
            checks.scenario(protocol + ": handshakes and owners", methods::owners);
            checks.scenario(protocol + ": accepting no new streams", methods::acceptsNoMore);
            checks.scenario(protocol + ": truncate, release, delete", methods::ends);
            checks.scenario(protocol + ": errors by their codes", methods::errors);
            checks.scenario(protocol + ": a method that does not exist", methods::unknownMethod);
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private void written(DLSN expected, Answer answer) {
        equal("a write's answer", 200, answer.code());
        equal("its position", expected, answer.dlsn());
    }

    private void writes() throws Exception {
        equal("create", 200, peer.ask(Calls.create(stream)).code());
        equal("create again", 200, peer.ask(Calls.create(stream)).code());
        written(new DLSN(1, 0, 0), peer.ask(Calls.write(stream, bytes("one"))));
        byte[] two = bytes("zwei – два");
        Calls.Context context = Calls.Context.withChecksum(Calls.checksum(stream, two));
        written(new DLSN(1, 1, 0), peer.ask(Calls.write(stream, two, context)));
        written(new DLSN(1, 2, 0), peer.ask(Calls.write(stream, new byte[0], Calls.Context.NONE)));
    }

    private void bulk() throws Exception {
        Answer answer = peer.ask(Calls.writeBulk(stream, List.of(bytes("a"), bytes("b"), bytes("c"))));
        equal("the header", 200, answer.code());
        List<DLSN> positions = answer.each().stream().map(Answer::dlsn).toList();
        equal("the positions", List.of(new DLSN(1, 3, 0), new DLSN(1, 3, 1), new DLSN(1, 3, 2)), positions);
        Answer partly = peer.ask(Calls.writeBulk(stream, List.of(bytes("a"), new byte[1_040_385], bytes("c"))));
        equal("the codes", List.of(200, 413, 516), partly.each().stream().map(Answer::code).toList());
    }

    private void recordSets() throws Exception {
        long entry = 5;
        for (CompressionCodec.Type codec : List.of(CompressionCodec.Type.NONE, CompressionCodec.Type.LZ4)) {
            LogRecordSet.Writer writer = LogRecordSet.newWriter(1024, codec);
            for (int i = 0; i < 3; i++) {
                writer.writeRecord(ByteBuffer.wrap(bytes("record " + i)), new CompletableFuture<>());
            }
            ByteBuf set = ((LogRecordSetBuffer) writer).getBuffer();
            byte[] payload = new byte[set.readableBytes()];
            set.readBytes(payload);
            written(new DLSN(1, entry++, 0), peer.ask(Calls.write(stream, payload, Calls.Context.recordSet())));
        }
        Answer refused = peer.ask(Calls.write(stream, bytes("no record set at all"), Calls.Context.recordSet()));
        equal("what is no record set", 500, refused.code());
        contains("the error", "not a record set", refused.error());
    }

    private void heartbeats() throws Exception {
        equal("a heartbeat", 200, peer.ask(Calls.heartbeat(stream)).code());
        equal("a heartbeat with options", 200, peer.ask(Calls.heartbeat(stream, false)).code());
        written(new DLSN(1, 7, 0), peer.ask(Calls.heartbeat(stream, true)));
    }

    private void owners() throws Exception {
        Answer all = peer.ask(Calls.handshake());
        equal("the proxy's state", 100, all.serverStatus());
        equal("the stream's owner", here, all.ownerships().get(stream));
        Answer some = peer.ask(Calls.handshake(stream + "|nothing", true));
        equal("the ownerships that were asked for", Map.of(stream, here), some.ownerships());
        equal("without ownerships", Map.of(), peer.ask(Calls.handshake(".*", false)).ownerships());
        Answer owner = peer.ask(Calls.owner(stream));
        equal("getOwner", 302, owner.code());
        equal("the owner", here, owner.location());
    }

    private void acceptsNoMore() throws Exception {
        that("setAcceptNewStream answers nothing", peer.ask(Calls.setAcceptNewStream(false)).isVoid());
        try {
            equal("the proxy's state", 200, peer.ask(Calls.handshake()).serverStatus());
            equal("a write to a new stream", 503, peer.ask(Calls.write(stream + "-new", bytes("x"))).code());
            equal("a write to an owned stream", 200, peer.ask(Calls.write(stream, bytes("x"))).code());
        } finally {
            that("setAcceptNewStream answers nothing", peer.ask(Calls.setAcceptNewStream(true)).isVoid());
        }
        equal("a write to a new stream", 200, peer.ask(Calls.write(stream + "-new", bytes("x"))).code());
    }

    private void ends() throws Exception {
        equal("truncate", 200, peer.ask(Calls.truncate(stream, new DLSN(1, 2, 0).serialize())).code());
        equal("release", 200, peer.ask(Calls.release(stream)).code());
        written(new DLSN(2, 0, 0), peer.ask(Calls.write(stream, bytes("the next log segment"))));
        equal("delete", 200, peer.ask(Calls.delete(stream)).code());
        equal("delete again", 510, peer.ask(Calls.delete(stream)).code());
        written(new DLSN(1, 0, 0), peer.ask(Calls.write(stream, bytes("a new stream"))));
    }

    private void errors() throws Exception {
        Answer checksum = peer.ask(Calls.write(stream, bytes("x"), Calls.Context.withChecksum(1)));
        equal("a wrong checksum", 523, checksum.code());
        contains("the error", "checksum failed", checksum.error());
        Answer large = peer.ask(Calls.write(stream, new byte[1_040_385]));
        equal("a record that is too large", 413, large.code());
        contains("the error", "1040385 bytes", large.error());
        Answer name = peer.ask(Calls.write("an illegal name", bytes("x")));
        equal("an illegal name", 602, name.code());
        contains("the error", "invalid stream name", name.error());
        Answer dlsn = peer.ask(Calls.truncate(stream, "!!!"));
        equal("truncate before no position", 403, dlsn.code());
        contains("the error", "not a DLSN", dlsn.error());
        Answer regex = peer.ask(Calls.handshake("(", true));
        equal("an expression that is none", Message.INTERNAL_ERROR, regex.exceptionType());
        contains("the exception", "streamNameRegex", regex.exceptionMessage());
        equal("the largest record", 200, peer.ask(Calls.write(stream, new byte[1_040_384])).code());
    }

    private void unknownMethod() throws Exception {
        Answer answer = peer.ask(Message.call("getBalance", new Struct().with(1, "x")));
        equal("the exception", Message.UNKNOWN_METHOD, answer.exceptionType());
        contains("its message", "getBalance", answer.exceptionMessage());
        equal("the method after it", 100, peer.ask(Calls.handshake()).serverStatus());
    }
}
