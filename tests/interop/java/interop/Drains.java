package interop;

import static interop.Checks.equal;
import static interop.Checks.that;
import static interop.Methods.bytes;

import com.twitter.finagle.ChannelWriteException;
import com.twitter.finagle.ConnectionFailedException;
import com.twitter.finagle.FailedFastException;
import com.twitter.finagle.Failure;
import com.twitter.util.Future;
import java.net.ConnectException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.distributedlog.DLSN;

/** A proxy that is asked to end. */
final class Drains {
    private static final int IN_FLIGHT = 500;

    private Drains() {}

    static void run(Checks checks, Dlog.Place place, Dlog store) {
        for (Peer.Protocol protocol : Peer.Protocol.values()) {
            checks.scenario(protocol + ": what is in flight when a proxy ends is answered", () -> inFlight(place, store, protocol));
        }
        checks.scenario("MUX: clients of a proxy that ends lose nothing and go to the next", () -> goesOn(place, store));
    }

    private static void inFlight(Dlog.Place place, Dlog store, Peer.Protocol protocol) throws Exception {
        String stream = "drain-" + protocol;
        int count = protocol == Peer.Protocol.MUX ? IN_FLIGHT : 20;
        try (Dlog proxy = Dlog.proxy(place, store, 21); Peer peer = new Peer(protocol, proxy.address())) {
            equal("the owner", 200, peer.ask(Calls.write(stream, bytes("first"))).code());
            proxy.stall(stream);
            List<Future<byte[]>> calls = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                calls.add(peer.send(Calls.write(stream, bytes("record " + i))));
            }
            proxy.untilMetric("requests_unanswered", count);
            // Which ends the stall, too.
            proxy.terminate();
            Set<DLSN> positions = new HashSet<>();
            for (Answer answer : Peer.answers(calls)) {
                equal("each write", 200, answer.code());
                positions.add(answer.dlsn());
            }
            equal("different positions", count, positions.size());
            equal("its exit status", 0, proxy.exitCode());
        }
    }

    /** Finagle's load balancer over two proxies, of which one ends: every write succeeds, redirects followed as the original's client does. */
    private static void goesOn(Dlog.Place place, Dlog store) throws Exception {
        int total = 4_000;
        try (Dlog one = Dlog.proxy(place, store, 22);
                Dlog two = Dlog.proxy(place, store, 23);
                Peer both = new Peer(Peer.Protocol.MUX, one.address() + "," + two.address());
                Peer toOne = new Peer(Peer.Protocol.MUX, one.address());
                Peer toTwo = new Peer(Peer.Protocol.MUX, two.address())) {
            String stream = "drain-goes-on";
            equal("the owner", 200, toOne.ask(Calls.write(stream, bytes("first"))).code());
            Set<DLSN> positions = new HashSet<>();
            int elsewhere = 0;
            for (int i = 0; i < total; i++) {
                if (i == total / 4) {
                    one.terminate();
                }
                Message call = Calls.write(stream, bytes("record " + i));
                Answer answer = ifStarted(both, call);
                for (; answer == null || answer.code() != 200; elsewhere++) {
                    that("a redirect, or a proxy that ends: " + answer, answer == null || answer.code() == 302 || answer.code() == 503);
                    boolean toFirst = answer != null && answer.code() == 302 && answer.location().endsWith(one.address());
                    answer = ifStarted(toFirst ? toOne : both, call);
                }
                positions.add(answer.dlsn());
            }
            equal("positions", total, positions.size());
            equal("its exit status", 0, one.exitCode());
            that("some went elsewhere", elsewhere > 0);
            equal("the owner now", "1;23;" + two.address(), toTwo.ask(Calls.handshake()).ownerships().get(stream));
        }
    }

    /** The answer; null when the request was certainly not started. A request whose fate is not known fails the test. */
    private static Answer ifStarted(Peer peer, Message call) throws Exception {
        try {
            return peer.ask(call);
        } catch (FailedFastException | ConnectionFailedException refused) {
            return null;
        } catch (ChannelWriteException failed) {
            if (failed.getCause() instanceof ConnectException) {
                return null;
            }
            throw failed;
        } catch (Failure failure) {
            if (failure.isFlagged(Failure.Restartable()) || failure.getMessage().contains("Nacked")) {
                return null;
            }
            throw failure;
        }
    }
}
