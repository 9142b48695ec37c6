package peer;

import java.io.File;
import org.apache.bookkeeper.client.BookKeeperAdmin;
import org.apache.bookkeeper.common.component.LifecycleComponentStack;
import org.apache.bookkeeper.conf.ServerConfiguration;
import org.apache.bookkeeper.server.Main;
import org.apache.bookkeeper.server.conf.BookieConfiguration;

/** Calls that differ between the versions of BookKeeper: here as in 4.17. */
final class Version {
    private Version() {}

    /** Creates the znodes of an empty cluster below this root. */
    static void format(String zkServers, String root) throws Exception {
        ServerConfiguration settings = new ServerConfiguration();
        settings.setMetadataServiceUri("zk+hierarchical://" + zkServers + root);
        if (!BookKeeperAdmin.initNewCluster(settings)) {
            throw new IllegalStateException("cannot create a cluster at " + root);
        }
    }

    /** Starts a bookie. Returns when it serves and is registered. */
    static void startBookie(String settingsFile) throws Exception {
        ServerConfiguration settings = new ServerConfiguration();
        settings.loadConf(new File(settingsFile).toURI().toURL());
        String zkServers = settings.getString("zkServers");
        String root = settings.getString("zkLedgersRootPath");
        settings.setMetadataServiceUri("zk+hierarchical://" + zkServers + root);
        LifecycleComponentStack bookie = Main.buildBookieServer(new BookieConfiguration(settings));
        bookie.setExceptionHandler(
                (thread, error) -> {
                    error.printStackTrace();
                    Runtime.getRuntime().halt(1);
                });
        bookie.start();
    }
}
