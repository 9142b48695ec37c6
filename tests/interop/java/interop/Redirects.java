package interop;

import static interop.Checks.equal;
import static interop.Methods.bytes;

import java.util.List;
import java.util.Map;
import org.apache.distributedlog.DLSN;

/** Two proxies over one store send clients to each other. */
final class Redirects {
    private Redirects() {}

    static void run(Checks checks, Dlog.Place place, Dlog store) throws Exception {
        try (Dlog one = Dlog.proxy(place, store, 11); Dlog two = Dlog.proxy(place, store, 12)) {
            for (Peer.Protocol protocol : Peer.Protocol.values()) {
                try (Peer toOne = new Peer(protocol, one.address()); Peer toTwo = new Peer(protocol, two.address())) {
                    String stream = "redirects-" + protocol;
                    checks.scenario(protocol + ": a proxy sends clients to the owner", () -> {
                        equal("the owner", new DLSN(1, 0, 0), toOne.ask(Calls.write(stream, bytes("x"))).dlsn());
                        redirected(stream, toTwo, "1;11;" + one.address());
                        equal("there", new DLSN(1, 1, 0), toOne.ask(Calls.write(stream, bytes("y"))).dlsn());
                        equal("the other's ownerships", Map.of(), toTwo.ask(Calls.handshake(stream, true)).ownerships());
                    });
                    checks.scenario(protocol + ": a released stream has another owner", () -> {
                        equal("release", 200, toOne.ask(Calls.release(stream)).code());
                        equal("the new owner", new DLSN(2, 0, 0), toTwo.ask(Calls.write(stream, bytes("z"))).dlsn());
                        redirected(stream, toOne, "1;12;" + two.address());
                    });
                }
            }
            checks.scenario("a dead owner's streams are taken over", () -> takenOver(one, two));
        }
    }

    private static void redirected(String stream, Peer peer, String owner) throws Exception {
        List<Message> calls = List.of(
                Calls.write(stream, bytes("x")),
                Calls.write(stream, bytes("x"), Calls.Context.NONE),
                Calls.writeBulk(stream, List.of(bytes("x"))),
                Calls.heartbeat(stream),
                Calls.heartbeat(stream, true),
                Calls.truncate(stream, new DLSN(1, 0, 0).serialize()),
                Calls.owner(stream),
                Calls.delete(stream));
        for (Message call : calls) {
            Answer answer = peer.ask(call);
            equal(call.method(), 302, answer.code());
            equal(call.method() + "'s owner", owner, answer.location());
        }
    }

    private static void takenOver(Dlog one, Dlog two) throws Exception {
        String stream = "redirects-dead";
        try (Peer toOne = new Peer(Peer.Protocol.MUX, one.address()); Peer toTwo = new Peer(Peer.Protocol.MUX, two.address())) {
            equal("the owner", new DLSN(1, 0, 0), toOne.ask(Calls.write(stream, bytes("x"))).dlsn());
            one.kill();
            Checks.eventually("the other", () -> toTwo.ask(Calls.write(stream, bytes("y"))), answer -> answer.code() == 200);
            equal("its ownerships", "1;12;" + two.address(), toTwo.ask(Calls.handshake()).ownerships().get(stream));
        }
    }
}
