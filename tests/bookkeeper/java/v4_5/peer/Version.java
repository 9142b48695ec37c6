package peer;

import java.io.File;
import org.apache.bookkeeper.client.BookKeeperAdmin;
import org.apache.bookkeeper.conf.ClientConfiguration;
import org.apache.bookkeeper.conf.ServerConfiguration;
import org.apache.bookkeeper.proto.BookieServer;

/** Calls that differ between the versions of BookKeeper: here as in 4.5. */
final class Version {
    private Version() {}

    /** Creates the znodes of an empty cluster below this root. */
    static void format(String zkServers, String root) throws Exception {
        ClientConfiguration settings = new ClientConfiguration();
        settings.setZkServers(zkServers);
        settings.setZkLedgersRootPath(root);
        if (!BookKeeperAdmin.format(settings, false, true)) {
            throw new IllegalStateException("cannot create a cluster at " + root);
        }
    }

    /** Starts a bookie. Returns when it serves and is registered. */
    static void startBookie(String settingsFile) throws Exception {
        ServerConfiguration settings = new ServerConfiguration();
        settings.loadConf(new File(settingsFile).toURI().toURL());
        BookieServer bookie = new BookieServer(settings);
        bookie.start();
        // As BookieServer's own main does.
        Thread watcher =
                new Thread(
                        () -> {
                            try {
                                bookie.join();
                            } catch (InterruptedException interrupted) {
                                Thread.currentThread().interrupt();
                            }
                            Runtime.getRuntime().halt(bookie.getExitCode());
                        },
                        "exit");
        watcher.setDaemon(true);
        watcher.start();
    }
}
