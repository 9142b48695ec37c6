package interop;

import static interop.Checks.contains;
import static interop.Checks.equal;
import static interop.Checks.that;
import static interop.Methods.bytes;

import com.twitter.finagle.mux.ServerError;
import com.twitter.finagle.stats.InMemoryStatsReceiver;
import com.twitter.util.Duration;
import com.twitter.util.Future;
import java.util.ArrayList;
import java.util.List;

/** What is no request: pings, and frames that are too large. */
final class Frames {
    private Frames() {}

    static void run(Checks checks, Dlog proxy) {
        checks.scenario("MUX: pings are answered, also while every request waits", () -> pings(proxy));
        checks.scenario("MUX: a frame that is too large is refused, the connection goes on", () -> tooLargeMux(proxy));
        for (Peer.Protocol protocol : List.of(Peer.Protocol.UPGRADED, Peer.Protocol.PLAIN)) {
            checks.scenario(protocol + ": a frame that is too large is refused, the connection goes on", () -> tooLarge(proxy, protocol));
        }
    }

    private static void pings(Dlog proxy) throws Exception {
        String stream = "pings";
        InMemoryStatsReceiver stats = new InMemoryStatsReceiver();
        try (Peer peer = Peer.pinging(proxy.address(), stats, Duration.fromMilliseconds(50), Duration.fromSeconds(20))) {
            peer.ask(Calls.create(stream));
            long connections = proxy.metric("connections_accepted_total");
            proxy.stall(stream);
            Future<byte[]> waits = peer.send(Calls.write(stream, bytes("x")));
            // Each ping is sent when the one before it was answered.
            Checks.eventually("ten pings", () -> Peer.counted(stats, "failuredetector", "ping"), count -> count >= 10);
            that("the request still waits", waits.poll().isEmpty());
            proxy.clear(stream);
            equal("the request", 200, Peer.answer(waits).code());
            equal("connections given up", 0L, Peer.counted(stats, "failuredetector", "close"));
            equal("further connections", connections, proxy.metric("connections_accepted_total"));
        }
    }

    /** Seventeen records of a mebibyte: more than a proxy takes in one frame. */
    private static Message huge(String stream) {
        List<byte[]> records = new ArrayList<>();
        for (int i = 0; i < 17; i++) {
            records.add(new byte[1_040_384]);
        }
        return Calls.writeBulk(stream, records);
    }

    private static void tooLargeMux(Dlog proxy) throws Exception {
        String stream = "too-large-mux";
        try (Peer peer = new Peer(Peer.Protocol.MUX, proxy.address())) {
            peer.ask(Calls.create(stream));
            long connections = proxy.metric("connections_accepted_total");
            Throwable failure = Peer.failure(peer.send(huge(stream)));
            that("an error of the server: " + failure, failure instanceof ServerError);
            contains("the error", "16777216", failure.getMessage());
            equal("the write after it", 200, peer.ask(Calls.write(stream, bytes("x"))).code());
            equal("further connections", connections, proxy.metric("connections_accepted_total"));
        }
    }

    private static void tooLarge(Dlog proxy, Peer.Protocol protocol) throws Exception {
        String stream = "too-large-" + protocol;
        try (Peer peer = new Peer(protocol, proxy.address())) {
            peer.ask(Calls.create(stream));
            Answer answer = peer.ask(huge(stream));
            equal("the exception", Message.PROTOCOL_ERROR, answer.exceptionType());
            contains("the exception", "16777216", answer.exceptionMessage());
            equal("the write after it", 200, peer.ask(Calls.write(stream, bytes("x"))).code());
        }
    }
}
