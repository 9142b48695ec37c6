package interop;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;

/** A running `dlog`: a store or a write proxy. Its output goes to a file of the logs' folder. */
final class Dlog implements AutoCloseable {
    private static final ConcurrentLinkedQueue<Process> RUNNING = new ConcurrentLinkedQueue<>();
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static int number;

    private final Process process;
    private final Thread reader;
    private final CompletableFuture<String> address = new CompletableFuture<>();
    private final CompletableFuture<String> stats = new CompletableFuture<>();
    private final CompletableFuture<String> uri = new CompletableFuture<>();

    static {
        // Also when this process is interrupted.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> RUNNING.forEach(Process::destroyForcibly)));
    }

    /** Where the binary is, and where logs go. */
    record Place(Path binary, Path folder) {}

    private Dlog(Place place, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(place.binary().toString()));
        command.addAll(List.of(arguments));
        process = new ProcessBuilder(command).redirectErrorStream(true).start();
        RUNNING.add(process);
        String name = "dlog-" + arguments[0] + "-" + number++ + ".log";
        PrintWriter log = new PrintWriter(place.folder().resolve(name).toFile());
        log.println(String.join(" ", command));
        reader = new Thread(() -> read(log), name);
        reader.setDaemon(true);
        reader.start();
    }

    private void read(PrintWriter log) {
        try (log; BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                log.println(line);
                log.flush();
                found(line, "listening on ", address);
                found(line, "metrics and health on http://", stats);
                if (line.startsWith("distributedlog://")) {
                    uri.complete(line);
                }
            }
        } catch (IOException error) {
            log.println(error);
        }
    }

    private static void found(String line, String start, CompletableFuture<String> what) {
        if (line.startsWith(start)) {
            what.complete(line.substring(start.length()));
        }
    }

    private static <T> T await(CompletableFuture<T> what) throws Exception {
        return what.get(Checks.PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    /** A store in a new folder. */
    static Dlog local(Place place, String name) throws Exception {
        Dlog local = new Dlog(place, "local", "0", "--data", place.folder().resolve(name).toString());
        await(local.address);
        return local;
    }

    /** A write proxy over that store, with further flags. */
    static Dlog proxy(Place place, Dlog store, int shard, String... flags) throws Exception {
        List<String> arguments = new ArrayList<>(List.of("proxy", "-p", "0", "-sp", "0", "--shard-id", Integer.toString(shard), "-mx"));
        arguments.addAll(List.of("-u", await(store.uri), "--test-only-faults"));
        arguments.addAll(List.of(flags));
        Dlog proxy = new Dlog(place, arguments.toArray(String[]::new));
        await(proxy.address);
        await(proxy.stats);
        return proxy;
    }

    /** Where clients connect, host:port. */
    String address() {
        return address.join();
    }

    int port() {
        return Integer.parseInt(address().substring(address().lastIndexOf(':') + 1));
    }

    /** The value of a metric: the sum over all its labels, unless the name comes with some. */
    long metric(String name) throws Exception {
        HttpResponse<String> response =
                HTTP.send(HttpRequest.newBuilder(URI.create("http://" + stats.join() + "/metrics")).build(), HttpResponse.BodyHandlers.ofString());
        return response.body().lines()
                .filter(line -> line.startsWith("dlog_proxy_" + name + " ") || line.startsWith("dlog_proxy_" + name + "{"))
                .mapToLong(line -> (long) Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
                .sum();
    }

    void untilMetric(String name, long value) throws Exception {
        Checks.eventually("the proxy's " + name + " of " + value, () -> metric(name), seen -> seen == value);
    }

    /** Lets what is asked of a stream wait. */
    void stall(String stream) throws Exception {
        fault("PUT", stream + "/stall");
    }

    /** Ends that. */
    void clear(String stream) throws Exception {
        fault("DELETE", stream);
    }

    private void fault(String method, String what) throws Exception {
        URI to = URI.create("http://" + stats.join() + "/faults/" + what);
        HttpRequest request = HttpRequest.newBuilder(to).method(method, HttpRequest.BodyPublishers.noBody()).build();
        int status = HTTP.send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
        Checks.that("the switch for faults answers " + status, status / 100 == 2);
    }

    /** SIGTERM. */
    void terminate() {
        // Not `process.destroy()`, which closes its output besides.
        process.toHandle().destroy();
    }

    /** SIGKILL. */
    void kill() {
        process.destroyForcibly();
    }

    int exitCode() throws Exception {
        Checks.that("dlog ends", process.waitFor(Checks.PATIENCE.toSeconds(), TimeUnit.SECONDS));
        return process.exitValue();
    }

    @Override
    public void close() throws Exception {
        process.destroyForcibly();
        process.waitFor();
        reader.join();
        RUNNING.remove(process);
    }
}
