package interop;

import static interop.Checks.contains;
import static interop.Checks.equal;
import static interop.Checks.that;
import static interop.Methods.bytes;

import com.twitter.finagle.Deadline;
import com.twitter.finagle.Deadline$;
import com.twitter.finagle.IndividualRequestTimeoutException;
import com.twitter.finagle.context.Contexts;
import com.twitter.util.Duration;
import com.twitter.util.Future;
import com.twitter.util.Time;
import java.util.ArrayList;
import java.util.List;
import org.apache.distributedlog.DLSN;
import scala.runtime.AbstractFunction0;

/** What a client no longer wants is not done: deadlines that pass, and futures that are cancelled. */
final class Promises {
    private static final int EACH = 20;
    private static final String NOT_STARTED = "requests_total{method=\"writeWithContext\",outcome=\"not_started\"}";

    private Promises() {}

    static void run(Checks checks, Dlog proxy) {
        for (Peer.Protocol protocol : List.of(Peer.Protocol.MUX, Peer.Protocol.UPGRADED)) {
            checks.scenario(protocol + ": a request whose deadline has passed is not started", () -> passed(proxy, protocol));
            checks.scenario(protocol + ": a deadline that passes while the request waits", () -> passes(proxy, protocol));
        }
        checks.scenario("MUX: cancelled futures are discarded, the others are not", () -> cancelled(proxy));
        checks.scenario("MUX: a request that times out at its client is discarded", () -> timedOut(proxy));
        checks.scenario("MUX: a future that is cancelled after it was written changes nothing", () -> tooLate(proxy));
    }

    private static Future<byte[]> within(Deadline deadline, Peer peer, Message call) {
        // What Scala calls `Contexts.broadcast.let(Deadline, deadline) { … }`.
        return Contexts.broadcast().let(Deadline$.MODULE$, deadline, new AbstractFunction0<Future<byte[]>>() {
            @Override
            public Future<byte[]> apply() {
                return peer.send(call);
            }
        });
    }

    /** The next write to a stream goes into this entry: so many were written before. */
    private static void holds(long entries, String stream, Peer peer) throws Exception {
        equal("the next position", new DLSN(1, entries, 0), peer.ask(Calls.write(stream, bytes("next"))).dlsn());
    }

    /** What a request that was not started ends with: a nack under mux; framed thrift has none, and it is an exception. */
    private static void notStarted(Peer.Protocol protocol, Future<byte[]> call) throws Exception {
        if (protocol == Peer.Protocol.MUX) {
            contains("the failure", "Nacked", Peer.failure(call).getMessage());
        } else {
            Answer answer = Peer.answer(call);
            equal("the exception", Message.INTERNAL_ERROR, answer.exceptionType());
            contains("the exception", "the request's deadline had passed", answer.exceptionMessage());
        }
    }

    private static void passed(Dlog proxy, Peer.Protocol protocol) throws Exception {
        String stream = "deadline-passed-" + protocol;
        try (Peer peer = new Peer(protocol, proxy.address())) {
            peer.ask(Calls.create(stream));
            long before = proxy.metric(NOT_STARTED);
            Deadline deadline = Deadline.apply(Time.now().minus(Duration.fromSeconds(2)), Time.now().minus(Duration.fromSeconds(1)));
            notStarted(protocol, within(deadline, peer, Calls.write(stream, bytes("late"), Calls.Context.NONE)));
            that("the proxy said so", proxy.metric(NOT_STARTED) > before);
            holds(0, stream, peer);
        }
    }

    private static void passes(Dlog proxy, Peer.Protocol protocol) throws Exception {
        String stream = "deadline-passes-" + protocol;
        try (Peer peer = new Peer(protocol, proxy.address())) {
            Stalled stalled = new Stalled(proxy, peer, stream);
            // Time for a busy machine to bring the request there first.
            Deadline soon = Deadline.ofTimeout(Duration.fromSeconds(3));
            Future<byte[]> late = within(soon, peer, Calls.write(stream, bytes("late"), Calls.Context.NONE));
            Deadline far = Deadline.ofTimeout(Peer.PATIENCE);
            Future<byte[]> patient = within(far, peer, Calls.write(stream, bytes("patient"), Calls.Context.NONE));
            stalled.untilWaiting(2);
            Checks.eventually("the deadline's end", soon::expired, expired -> expired);
            stalled.goOn();
            notStarted(protocol, late);
            equal("the other", new DLSN(1, 0, 0), Peer.answer(patient).dlsn());
            holds(1, stream, peer);
        }
    }

    private static void cancelled(Dlog proxy) throws Exception {
        String stream = "cancelled";
        try (Peer peer = new Peer(Peer.Protocol.MUX, proxy.address())) {
            long before = proxy.metric("discarded_total");
            Stalled stalled = new Stalled(proxy, peer, stream);
            List<Future<byte[]>> kept = new ArrayList<>();
            List<Future<byte[]>> given = new ArrayList<>();
            for (int i = 0; i < EACH; i++) {
                kept.add(stalled.write(peer, "kept " + i));
                given.add(stalled.write(peer, "given up " + i));
            }
            stalled.untilWaiting(2 * EACH);
            RuntimeException cancel = new RuntimeException("the user went away");
            given.forEach(call -> call.raise(cancel));
            for (Future<byte[]> call : given) {
                that("it fails for the reason that was given", rootOf(Peer.failure(call)).getMessage().contains("the user went away"));
            }
            proxy.untilMetric("discarded_total", before + EACH);
            stalled.untilWaiting(EACH);
            stalled.goOn();
            for (Answer answer : Peer.answers(kept)) {
                equal("what was not cancelled", 200, answer.code());
            }
            holds(EACH, stream, peer);
        }
    }

    private static Throwable rootOf(Throwable failure) {
        return failure.getCause() == null ? failure : rootOf(failure.getCause());
    }

    private static void timedOut(Dlog proxy) throws Exception {
        String stream = "timed-out";
        long before = proxy.metric("discarded_total");
        try (Peer patient = new Peer(Peer.Protocol.MUX, proxy.address());
                Peer hasty = Peer.withTimeout(proxy.address(), Duration.fromSeconds(3))) {
            hasty.ask(Calls.handshake(".*", false));
            Stalled stalled = new Stalled(proxy, patient, stream);
            Throwable failure = Peer.failure(stalled.write(hasty, "late"));
            // The deadline that goes with the timeout may have been first: then the proxy says that the request was not started.
            boolean nacked = String.valueOf(failure.getMessage()).contains("Nacked");
            that("a timeout: " + failure, failure instanceof IndividualRequestTimeoutException || nacked);
            Checks.eventually("that the proxy drops it", () -> proxy.metric("requests_unanswered"), unanswered -> unanswered == 0);
            stalled.goOn();
            holds(0, stream, patient);
            that("no more was discarded than that", proxy.metric("discarded_total") <= before + 1);
        }
    }

    private static void tooLate(Dlog proxy) throws Exception {
        String stream = "too-late";
        try (Peer peer = new Peer(Peer.Protocol.MUX, proxy.address())) {
            Future<byte[]> call = peer.send(Calls.write(stream, bytes("written")));
            equal("the write", new DLSN(1, 0, 0), Peer.answer(call).dlsn());
            call.raise(new RuntimeException("too late"));
            holds(1, stream, peer);
        }
    }
}
