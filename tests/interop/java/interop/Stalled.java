package interop;

import static interop.Methods.bytes;

import com.twitter.util.Future;
import java.util.ArrayList;
import java.util.List;

/** A new stream of which every request waits until it is let go on. */
final class Stalled {
    private final Dlog proxy;
    private final String stream;

    Stalled(Dlog proxy, Peer peer, String stream) throws Exception {
        this.proxy = proxy;
        this.stream = stream;
        peer.ask(Calls.create(stream));
        proxy.stall(stream);
    }

    /** Begins a write. */
    Future<byte[]> write(Peer peer, String text) {
        return peer.send(Calls.write(stream, bytes(text)));
    }

    /** Begins so many writes, and sees them wait. */
    List<Future<byte[]>> writes(Peer peer, int count) throws Exception {
        List<Future<byte[]>> calls = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            calls.add(write(peer, "record " + i));
        }
        untilWaiting(count);
        return calls;
    }

    void untilWaiting(long requests) throws Exception {
        proxy.untilMetric("requests_unanswered", requests);
    }

    void goOn() throws Exception {
        proxy.clear(stream);
    }
}
