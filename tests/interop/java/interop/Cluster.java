package interop;

import org.apache.bookkeeper.conf.ServerConfiguration;
import org.apache.distributedlog.LocalDLMEmulator;

/** DistributedLog's own local cluster: ZooKeeper on the port of the argument, and three bookies on free ones. Says its namespace, and runs until it is killed. */
public final class Cluster {
    private Cluster() {}

    public static void main(String[] arguments) throws Exception {
        // What the emulator asks ZooKeeper to see that it is up; since 3.5 that is refused unless it is named.
        System.setProperty("zookeeper.4lw.commands.whitelist", "*");
        ServerConfiguration bookies = new ServerConfiguration();
        // Otherwise each lone write waits for company for up to 2 ms.
        bookies.setProperty("journalFlushWhenQueueEmpty", true);
        bookies.setAllowLoopback(true);
        bookies.setListeningInterface("lo");
        // The default asks for 5 % of the disk, and these machines' disks are other people's too.
        bookies.setDiskUsageThreshold(0.999f);
        bookies.setDiskUsageWarnThreshold(0.99f);
        LocalDLMEmulator emulator = LocalDLMEmulator.newBuilder().zkPort(Integer.parseInt(arguments[0])).serverConf(bookies).build();
        emulator.start();
        System.out.println("namespace " + emulator.getUri());
        System.out.flush();
        Thread.currentThread().join();
    }
}
