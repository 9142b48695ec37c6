package peer;

import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.Semaphore;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;

/**
 * Registers a relay's address in one cluster's root for each bookie that is registered in another:
 * the bookies live in a root of their own, and clients see only their relays.
 *
 * <p>The registration has no data. Clients then take the address from its name, as they do for
 * bookies of before 4.11.
 */
final class Mirror {
    private final ZooKeeper client;
    private final String from;
    private final String to;
    /** Addresses of the relays by those of the bookies. */
    private final Map<String, String> relays;
    private final Semaphore changes = new Semaphore(0);
    /** One for all: ZooKeeper's client keeps a watcher once, however often it is set. */
    private final Watcher changed = event -> changes.release();

    Mirror(ZooKeeper client, String from, String to, Map<String, String> relays) {
        this.client = client;
        this.from = from;
        this.to = to;
        this.relays = relays;
    }

    /** Copies what is registered, then starts a thread that copies each change. */
    void start() throws KeeperException, InterruptedException {
        copy("/available/readonly");
        copy("/available");
        Thread thread = new Thread(this::run, "mirror");
        thread.setDaemon(true);
        thread.start();
    }

    private void run() {
        while (true) {
            try {
                changes.acquire();
                changes.drainPermits();
                copy("/available/readonly");
                copy("/available");
            } catch (KeeperException | InterruptedException error) {
                // The server is in this process: there is nothing to wait for that could change.
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        }
    }

    private void copy(String folder) throws KeeperException, InterruptedException {
        TreeSet<String> wanted = new TreeSet<>();
        if (client.exists(from + folder, changed) != null) {
            for (String bookie : client.getChildren(from + folder, changed)) {
                if (relays.containsKey(bookie)) {
                    wanted.add(relays.get(bookie));
                }
            }
        }
        TreeSet<String> present = new TreeSet<>();
        if (client.exists(to + folder, false) != null) {
            present.addAll(client.getChildren(to + folder, false));
        } else {
            create(to + folder);
        }
        for (String relay : wanted) {
            if (!present.contains(relay)) {
                create(to + folder + "/" + relay);
            }
        }
        for (String relay : relays.values()) {
            if (present.contains(relay) && !wanted.contains(relay)) {
                client.delete(to + folder + "/" + relay, -1);
            }
        }
    }

    private void create(String path) throws KeeperException, InterruptedException {
        client.create(path, new byte[0], ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }
}
