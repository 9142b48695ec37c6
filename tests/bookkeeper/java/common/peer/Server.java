package peer;

import java.io.File;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.distributedlog.impl.metadata.BKDLConfig;
import org.apache.distributedlog.metadata.DLMetadata;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.server.ServerCnxnFactory;
import org.apache.zookeeper.server.ZooKeeperServer;

/**
 * One server of the cluster, which ends when its standard input does.
 *
 * <p>`zookeeper PORT FOLDER TICK_MS` starts ZooKeeper. Its commands: `format ROOT` (an empty
 * BookKeeper cluster), `bind PATH` (a namespace of DistributedLog over /ledgers), `delete PATH`
 * (with what is below), `children PATH`, `await PATH`, `await_gone PATH` and `await_empty PATH` (no
 * children), `mirror FROM TO ID=ID...` (see {@link Mirror}).
 *
 * <p>`bookie FILE` waits for the command `start`, so that the virtual machine can start before
 * ZooKeeper has. Then it runs a bookie with the settings in FILE.
 */
public final class Server {
    private static String zkServers;
    private static ZooKeeper client;

    private Server() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("zookeeper")) {
            int port = begin(arguments);
            new Out().with("ready", "zookeeper").with("port", port).print();
            Commands.serve(Server::zookeeper);
        } else {
            new Out().with("ready", "bookie").print();
            Commands.serve((name, words) -> Version.startBookie(arguments[1]));
        }
    }

    /** Starts ZooKeeper. Returns its port, which it chooses if the argument is 0. */
    static int begin(String[] arguments) throws Exception {
        int wanted = Integer.parseInt(arguments[1]);
        File folder = new File(arguments[2]);
        int port = startZooKeeper(wanted, folder, Integer.parseInt(arguments[3]));
        zkServers = "127.0.0.1:" + port;
        client = connect(zkServers);
        return port;
    }

    private static int startZooKeeper(int port, File folder, int tickMs) throws Exception {
        ZooKeeperServer server = new ZooKeeperServer(folder, folder, tickMs);
        // Clients choose their session's timeout, from one tick on.
        server.setMinSessionTimeout(tickMs);
        server.setMaxSessionTimeout(120_000);
        ServerCnxnFactory connections = ServerCnxnFactory.createFactory();
        connections.configure(new InetSocketAddress("127.0.0.1", port), 1000);
        connections.startup(server);
        return connections.getLocalPort();
    }

    static void zookeeper(String name, Commands.Words words) throws Exception {
        switch (name) {
            case "format" -> Version.format(zkServers, words.text(0));
            case "bind" -> {
                URI uri = URI.create("distributedlog://" + zkServers + words.text(0));
                DLMetadata.create(new BKDLConfig(zkServers, "/ledgers")).create(uri);
            }
            case "delete" -> delete(words.text(0));
            case "children" -> {
                for (String child : client.getChildren(words.text(0), false)) {
                    new Out().with("child", child).print();
                }
            }
            case "await" -> {
                String path = words.text(0);
                await(path, changed -> client.exists(path, changed) != null);
            }
            case "await_gone" -> {
                String path = words.text(0);
                await(path, changed -> client.exists(path, changed) == null);
            }
            case "await_empty" -> {
                String path = words.text(0);
                await(path, changed -> client.getChildren(path, changed).isEmpty());
            }
            case "mirror" -> {
                Mirror mirror = new Mirror(client, words.text(0), words.text(1), words.settings());
                mirror.start();
            }
            default -> throw new IllegalArgumentException(name);
        }
    }

    private static ZooKeeper connect(String servers) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        Watcher watcher =
                event -> {
                    if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                        connected.countDown();
                    }
                };
        // It sits in the server's process: a short session would only expire while that is stopped.
        ZooKeeper client = new ZooKeeper(servers, 120_000, watcher);
        connected.await();
        return client;
    }

    /** Looks at a znode, and sets a watch on what it saw. */
    private interface Look {
        boolean satisfied(Watcher watcher) throws KeeperException, InterruptedException;
    }

    private static void await(String path, Look look) throws Exception {
        while (true) {
            CountDownLatch changed = new CountDownLatch(1);
            if (look.satisfied(event -> changed.countDown())) {
                return;
            }
            if (!changed.await(55, TimeUnit.SECONDS)) {
                throw new IllegalStateException(path + " did not change");
            }
        }
    }

    private static void delete(String path) throws KeeperException, InterruptedException {
        List<String> paths = new ArrayList<>(List.of(path));
        for (int index = 0; index < paths.size(); index++) {
            for (String child : client.getChildren(paths.get(index), false)) {
                paths.add(paths.get(index) + "/" + child);
            }
        }
        java.util.Collections.reverse(paths);
        for (String each : paths) {
            client.delete(each, -1);
        }
    }
}
