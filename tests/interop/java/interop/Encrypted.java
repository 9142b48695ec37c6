package interop;

import static interop.Checks.contains;
import static interop.Checks.equal;
import static interop.Methods.bytes;

import com.twitter.util.Future;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.SSLContext;

/** Finagle's clients with TLS. */
final class Encrypted {
    private static final int IN_FLIGHT = 200;

    private Encrypted() {}

    static void run(Checks checks, Dlog.Place place, Dlog store, Tls tls) throws Exception {
        Path certificate = place.folder().resolve("certificate.pem");
        Path key = place.folder().resolve("key.pem");
        tls.write(certificate, key);
        SSLContext trusting = tls.context();
        try (Dlog proxy = Dlog.proxy(place, store, 1, "--tls-certificates", certificate.toString(), "--tls-key", key.toString())) {
            for (Peer.Protocol protocol : Peer.Protocol.values()) {
                checks.scenario(protocol + " over TLS: writes, many at once and large", () -> writes(proxy, protocol, trusting));
            }
            checks.scenario("MUX over TLS: a certificate that is not trusted", () -> untrusted(proxy));
        }
    }

    private static void writes(Dlog proxy, Peer.Protocol protocol, SSLContext trusting) throws Exception {
        String stream = "encrypted-" + protocol;
        try (Peer peer = Peer.encrypted(protocol, proxy.address(), trusting)) {
            equal("create", 200, peer.ask(Calls.create(stream)).code());
            List<Future<byte[]>> calls = new ArrayList<>();
            for (int i = 0; i < IN_FLIGHT; i++) {
                calls.add(peer.send(Calls.write(stream, bytes("record " + i))));
            }
            for (Answer answer : Peer.answers(calls)) {
                equal("each write", 200, answer.code());
            }
            equal("the largest record", 200, peer.ask(Calls.write(stream, new byte[1_040_384])).code());
        }
    }

    private static void untrusted(Dlog proxy) throws Exception {
        try (Peer peer = Peer.encrypted(Peer.Protocol.MUX, proxy.address(), Tls.anyones())) {
            Throwable failure = Peer.failure(peer.send(Calls.handshake()));
            StringWriter trace = new StringWriter();
            failure.printStackTrace(new PrintWriter(trace));
            contains("the reason", "PKIX path building failed", trace.toString());
        }
    }
}
