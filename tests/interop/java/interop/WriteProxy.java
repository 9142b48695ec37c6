package interop;

import com.twitter.finagle.ListeningServer;
import com.twitter.finagle.Service;
import com.twitter.finagle.ThriftMux;
import com.twitter.finagle.ssl.Engine;
import com.twitter.finagle.transport.Transport;
import com.twitter.util.Await;
import com.twitter.util.Future;
import com.twitter.util.Promise;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import org.apache.distributedlog.DLSN;
import org.apache.distributedlog.exceptions.DLException;
import org.apache.distributedlog.exceptions.OwnershipAcquireFailedException;
import scala.Function0;
import scala.Option;
import scala.runtime.AbstractFunction0;

/**
 * A write proxy of this test's own making: Finagle's ThriftMux server in front of DistributedLog's own writers. Arguments: the namespace, the
 * port, the shard, and the certificate if it is to speak TLS. SIGTERM finishes what is in flight, completes the log segments and gives the streams back.
 */
public final class WriteProxy extends Service<byte[], byte[]> {
    private static final int SUCCESS = 200;
    private static final int FOUND = 302;
    private static final int REQUEST_DENIED = 403;
    private static final int SERVICE_UNAVAILABLE = 503;
    private static final int UNEXPECTED = 600;
    private static final int CHECKSUM_FAILED = 523;

    private final Streams streams;
    private final String self;
    private final AtomicBoolean accepting = new AtomicBoolean(true);

    private WriteProxy(URI namespace, String self) throws Exception {
        this.streams = new Streams(namespace, self);
        this.self = self;
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        String self = "1;" + arguments[2] + ";127.0.0.1:" + port;
        WriteProxy proxy = new WriteProxy(URI.create(arguments[0]), self);
        ListeningServer server = server(arguments).serve(new InetSocketAddress("127.0.0.1", port), proxy);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                Await.ready(server.close(), Peer.PATIENCE);
            } catch (Exception error) {
                error.printStackTrace();
            }
            proxy.streams.close();
        }));
        System.out.println("listening on 127.0.0.1:" + port);
        System.out.flush();
        Thread.currentThread().join();
    }

    /** With TLS, if there is a certificate. */
    private static ThriftMux.Server server(String[] arguments) throws Exception {
        if (arguments.length < 4) {
            return ThriftMux.server();
        }
        SSLContext context = Tls.of(Path.of(arguments[3])).context();
        AbstractFunction0<Engine> engine = new AbstractFunction0<>() {
            @Override
            public Engine apply() {
                SSLEngine it = context.createSSLEngine();
                it.setUseClientMode(false);
                return new Engine(it, false, "interop");
            }
        };
        return ThriftMux.server().configured(new Transport.TLSServerEngine(Option.<Function0<Engine>>apply(engine)).mk());
    }

    @Override
    public Future<byte[]> apply(byte[] request) {
        Message call = Message.decode(request);
        Promise<byte[]> answer = new Promise<>();
        CompletableFuture<Message> reply;
        try {
            reply = answer(call);
        } catch (Exception error) {
            reply = CompletableFuture.failedFuture(error);
        }
        reply.whenComplete((message, error) -> answer.setValue((error == null ? message : call.reply(failed(error))).encode()));
        return answer;
    }

    private CompletableFuture<Message> answer(Message call) throws Exception {
        Struct arguments = call.body();
        String stream = arguments.text(-1);
        switch (call.method()) {
            case "handshake":
                return done(call.reply(serverInfo(".*")));
            case "handshakeWithClientInfo":
                String regex = arguments.struct(-1).text(1);
                return done(call.reply(serverInfo(regex == null ? ".*" : regex)));
            case "write":
                return streams.write(stream, arguments.bytes(-2), false).thenApply(dlsn -> call.reply(written(dlsn)));
            case "writeWithContext":
                Struct context = arguments.struct(-3);
                byte[] data = arguments.bytes(-2);
                if (context.has(2) && context.i64(2) != Calls.checksum(stream, data)) {
                    return done(call.reply(response(CHECKSUM_FAILED, "Thrift call data failed checksum", null)));
                }
                return streams.write(stream, data, context.bool(3)).thenApply(dlsn -> call.reply(written(dlsn)));
            case "writeBulkWithContext":
                return streams.write(stream, arguments.<byte[]>list(-2)).thenCompose(WriteProxy::bulk).thenApply(call::reply);
            case "heartbeat", "heartbeatWithOptions":
                return streams.touch(stream).thenApply(done -> call.reply(response(SUCCESS, null, null)));
            case "truncate":
                return streams.truncate(stream, DLSN.deserialize(arguments.text(-2))).thenApply(done -> call.reply(response(SUCCESS, null, null)));
            case "release":
                return streams.release(stream).thenApply(done -> call.reply(response(SUCCESS, null, null)));
            case "create":
                streams.create(stream);
                return done(call.reply(response(SUCCESS, null, null)));
            case "delete":
                return streams.delete(stream).thenApply(done -> call.reply(response(SUCCESS, null, null)));
            case "getOwner":
                return streams.touch(stream).thenApply(done -> call.reply(response(FOUND, null, self)));
            case "setAcceptNewStream":
                accepting.set(arguments.bool(-1));
                return done(call.reply(null));
            default:
                return done(call.exception(Message.UNKNOWN_METHOD, "Invalid method name: '" + call.method() + "'"));
        }
    }

    private static CompletableFuture<Message> done(Message reply) {
        return CompletableFuture.completedFuture(reply);
    }

    private Struct serverInfo(String regex) {
        return new Struct().with(1, streams.ownerships(regex)).with(2, accepting.get() ? 100 : 200);
    }

    private static Struct response(int code, String error, String location) {
        return new Struct().with(1, new Struct().with(1, code).with(2, error).with(3, location));
    }

    private static Struct written(DLSN dlsn) {
        return response(SUCCESS, null, null).with(2, dlsn.serialize());
    }

    private static CompletableFuture<Struct> bulk(List<CompletableFuture<DLSN>> writes) {
        return CompletableFuture.allOf(writes.toArray(CompletableFuture[]::new)).handle((all, error) -> {
            List<Struct> each = new ArrayList<>();
            for (CompletableFuture<DLSN> write : writes) {
                each.add(write.handle((dlsn, failure) -> failure == null ? written(dlsn) : failed(failure)).join());
            }
            return response(SUCCESS, null, null).with(2, each);
        });
    }

    /** Errors as the original's proxy answers them: its exceptions' codes, and where the owner is. */
    private static Struct failed(Throwable failure) {
        Throwable error = failure;
        while (error instanceof CompletionException && error.getCause() != null) {
            error = error.getCause();
        }
        if (error instanceof OwnershipAcquireFailedException taken) {
            return response(FOUND, error.getMessage(), taken.getCurrentOwner());
        } else if (error instanceof DLException known) {
            return response(known.getCode(), error.getMessage(), null);
        } else if (error instanceof IllegalArgumentException) {
            return response(REQUEST_DENIED, error.toString(), null);
        } else if (error instanceof IllegalStateException) {
            return response(SERVICE_UNAVAILABLE, error.toString(), null);
        }
        return response(UNEXPECTED, error.toString(), null);
    }
}
