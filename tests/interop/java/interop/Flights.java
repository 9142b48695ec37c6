package interop;

import static interop.Checks.equal;
import static interop.Methods.bytes;

import com.twitter.util.Future;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.net.Socket;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.distributedlog.DLSN;

/** Many requests at once. */
final class Flights {
    private static final int IN_FLIGHT = 1_000;

    private Flights() {}

    static void run(Checks checks, Dlog proxy) {
        checks.scenario("MUX: 1,000 in flight on one connection", () -> mux(proxy));
        checks.scenario("MUX: 20,000 writes, 1,000 in flight, five streams", () -> sustained(proxy));
        checks.scenario("PLAIN: 1,000 sent on one connection before the first answer, answered in order", () -> pipelined(proxy));
        checks.scenario("UPGRADED: 64 at once, each on a connection of its own", () -> framed(proxy));
    }

    /** None is answered before the last was sent, because their stream is stalled. */
    private static void mux(Dlog proxy) throws Exception {
        try (Peer peer = new Peer(Peer.Protocol.MUX, proxy.address())) {
            Stalled stalled = new Stalled(proxy, peer, "flight-mux");
            long connections = proxy.metric("connections_accepted_total");
            List<Future<byte[]>> calls = stalled.writes(peer, IN_FLIGHT);
            equal("another request meanwhile", 100, peer.ask(Calls.handshake(".*", false)).serverStatus());
            stalled.goOn();
            equal("further connections", connections, proxy.metric("connections_accepted_total"));
            distinct(Peer.answers(calls), IN_FLIGHT);
        }
    }

    private static void distinct(List<Answer> answers, int count) {
        Set<DLSN> positions = new HashSet<>();
        for (Answer answer : answers) {
            equal("each write", 200, answer.code());
            positions.add(answer.dlsn());
        }
        equal("different positions", count, positions.size());
    }

    private static void sustained(Dlog proxy) throws Exception {
        int total = 20_000;
        try (Peer peer = new Peer(Peer.Protocol.MUX, proxy.address())) {
            List<Set<DLSN>> positions = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                positions.add(new HashSet<>());
            }
            List<Future<byte[]>> calls = new ArrayList<>();
            long began = System.nanoTime();
            for (int i = 0; i < total + IN_FLIGHT; i++) {
                if (i >= IN_FLIGHT) {
                    int earlier = i - IN_FLIGHT;
                    Answer answer = Peer.answer(calls.get(earlier));
                    equal("each write", 200, answer.code());
                    positions.get(earlier % 5).add(answer.dlsn());
                    calls.set(earlier, null);
                }
                if (i < total) {
                    calls.add(peer.send(Calls.write("flight-" + i % 5, bytes("record " + i), Calls.Context.NONE)));
                }
            }
            System.out.printf("    %d writes/s%n", total * 1_000_000_000L / (System.nanoTime() - began));
            equal("positions", total, positions.stream().mapToInt(Set::size).sum());
        }
    }

    /** Finagle sends one at a time on a framed connection, so this is by hand. */
    private static void pipelined(Dlog proxy) throws Exception {
        String stream = "flight-plain";
        try (Socket socket = new Socket("127.0.0.1", proxy.port())) {
            socket.setSoTimeout((int) Checks.PATIENCE.toMillis());
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            for (int i = 0; i < IN_FLIGHT; i++) {
                byte[] call = Calls.write(stream, bytes("record " + i)).encode();
                out.writeInt(call.length);
                out.write(call);
            }
            out.flush();
            DataInputStream in = new DataInputStream(socket.getInputStream());
            for (int i = 0; i < IN_FLIGHT; i++) {
                Answer answer = Answer.of(in.readNBytes(in.readInt()));
                equal("each write", 200, answer.code());
                equal("its position", new DLSN(1, i, 0), answer.dlsn());
            }
        }
    }

    private static void framed(Dlog proxy) throws Exception {
        int count = 64;
        try (Peer peer = new Peer(Peer.Protocol.UPGRADED, proxy.address())) {
            Stalled stalled = new Stalled(proxy, peer, "flight-upgraded");
            List<Future<byte[]>> calls = stalled.writes(peer, count);
            stalled.goOn();
            distinct(Peer.answers(calls), count);
        }
    }
}
