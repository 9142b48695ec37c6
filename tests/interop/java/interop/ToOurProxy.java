package interop;

import java.nio.file.Files;
import java.nio.file.Path;

/** Finagle's clients write through `dlog proxy`. Arguments: the binary, a folder for logs, and the certificate for TLS. */
public final class ToOurProxy {
    private ToOurProxy() {}

    public static void main(String[] arguments) throws Exception {
        Dlog.Place place = new Dlog.Place(Path.of(arguments[0]), Files.createDirectories(Path.of(arguments[1])));
        Checks checks = new Checks();
        try (Dlog store = Dlog.local(place, "store")) {
            try (Dlog proxy = Dlog.proxy(place, store, 1)) {
                for (Peer.Protocol protocol : Peer.Protocol.values()) {
                    Methods.run(checks, protocol, proxy);
                }
                Flights.run(checks, proxy);
                Promises.run(checks, proxy);
                Frames.run(checks, proxy);
            }
            Encrypted.run(checks, place, store, Tls.of(Path.of(arguments[2])));
            Redirects.run(checks, place, store);
            Drains.run(checks, place, store);
        }
        // Finagle's threads are not all daemons.
        System.exit(checks.finish() ? 0 : 1);
    }
}
