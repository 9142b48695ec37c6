package interop;

import com.twitter.finagle.Service;
import com.twitter.finagle.Thrift;
import com.twitter.finagle.ThriftMux;
import com.twitter.finagle.mux.FailureDetector;
import com.twitter.finagle.stats.InMemoryStatsReceiver;
import com.twitter.finagle.thrift.ClientId;
import com.twitter.finagle.thrift.ThriftClientRequest;
import com.twitter.util.Await;
import com.twitter.util.Duration;
import com.twitter.util.Future;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.SSLContext;
import scala.collection.JavaConverters;

/** A client of write proxies made by Finagle, with the settings that it has by itself. */
final class Peer implements AutoCloseable {
    /** What is spoken. */
    enum Protocol {
        /** thriftmux. */
        MUX,
        /** Framed thrift, upgraded to Finagle's. */
        UPGRADED,
        /** Framed thrift. */
        PLAIN
    }

    static final Duration PATIENCE = Duration.fromSeconds((int) Checks.PATIENCE.toSeconds());
    private static final ClientId ID = ClientId.apply("interop");

    private final Service<ThriftClientRequest, byte[]> service;

    /** A client of one or more proxies, host:port,host:port. */
    Peer(Protocol protocol, String addresses) {
        String name = "inet!" + addresses;
        service = switch (protocol) {
            case MUX -> mux().newService(name, "mux");
            case UPGRADED -> thrift().withAttemptTTwitterUpgrade().newService(name, "upgraded");
            case PLAIN -> thrift().withNoAttemptTTwitterUpgrade().newService(name, "plain");
        };
    }

    /** A client that trusts as this says, and nobody else. */
    static Peer encrypted(Protocol protocol, String addresses, SSLContext trust) {
        String name = "inet!" + addresses;
        return new Peer(switch (protocol) {
            case MUX -> mux().withTransport().tls(trust).newService(name, "mux");
            case UPGRADED -> thrift().withAttemptTTwitterUpgrade().withTransport().tls(trust).newService(name, "upgraded");
            case PLAIN -> thrift().withNoAttemptTTwitterUpgrade().withTransport().tls(trust).newService(name, "plain");
        });
    }

    private Peer(Service<ThriftClientRequest, byte[]> service) {
        this.service = service;
    }

    /** A thriftmux client that gives each request this much time. */
    static Peer withTimeout(String addresses, Duration timeout) {
        return new Peer(mux().withRequestTimeout(timeout).newService("inet!" + addresses, "mux"));
    }

    /** A thriftmux client that pings, and gives a proxy up that does not answer that in time. */
    static Peer pinging(String addresses, InMemoryStatsReceiver stats, Duration period, Duration patience) {
        var detector = new FailureDetector.Param(new FailureDetector.ThresholdConfig(period, 1e6, 100, patience));
        return new Peer(mux().withStatsReceiver(stats).configured(detector.mk()).newService("inet!" + addresses, "mux"));
    }

    private static ThriftMux.Client mux() {
        return ThriftMux.client().withClientId(ID);
    }

    private static Thrift.Client thrift() {
        return Thrift.client().withClientId(ID);
    }

    /** Begins a call. */
    Future<byte[]> send(Message call) {
        return service.apply(new ThriftClientRequest(call.encode(), false));
    }

    /** Makes a call and waits for its answer. */
    Answer ask(Message call) throws Exception {
        return Answer.of(Await.result(send(call), PATIENCE));
    }

    /** Waits for a call's answer. */
    static Answer answer(Future<byte[]> call) throws Exception {
        return Answer.of(Await.result(call, PATIENCE));
    }

    /** Waits for each call's answer; the calls' order. */
    static List<Answer> answers(List<Future<byte[]>> calls) throws Exception {
        List<Answer> answers = new ArrayList<>();
        for (Future<byte[]> call : calls) {
            answers.add(answer(call));
        }
        return answers;
    }

    /** Why a call failed. */
    static Throwable failure(Future<byte[]> call) throws Exception {
        Answer answer;
        try {
            answer = answer(call);
        } catch (Throwable failure) {
            return failure;
        }
        throw new AssertionError("it did not fail, but answered " + answer);
    }

    /** The sum of Finagle's counters of which a name's end is this. */
    static long counted(InMemoryStatsReceiver stats, String... end) {
        long sum = 0;
        for (var entry : JavaConverters.mapAsJavaMapConverter(stats.counters()).asJava().entrySet()) {
            List<String> name = JavaConverters.seqAsJavaListConverter(entry.getKey()).asJava();
            if (name.size() >= end.length && name.subList(name.size() - end.length, name.size()).equals(List.of(end))) {
                sum += ((Number) entry.getValue()).longValue();
            }
        }
        return sum;
    }

    @Override
    public void close() throws Exception {
        Await.ready(service.close(), PATIENCE);
    }
}
