package peer;

import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Loads the classes that servers and peers load, and ends. Run with `-XX:ArchiveClassesAtExit`, so
 * that the others find them parsed and verified. Argument: a folder that it may fill.
 */
public final class Train {
    private Train() {}

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        String[] zookeeper = {"zookeeper", "0", folder.resolve("zk").toString(), "500"};
        String servers = "127.0.0.1:" + Server.begin(zookeeper);
        int bookie;
        try (ServerSocket free = new ServerSocket(0)) {
            bookie = free.getLocalPort();
        }
        Commands.run(Server::zookeeper, "format /ledgers");
        Commands.run(Server::zookeeper, "bind /messaging/train");
        Path settings = folder.resolve("bookie.conf");
        Files.write(settings, List.of(
                "bookiePort=" + bookie,
                "allowLoopback=true",
                "advertisedAddress=127.0.0.1",
                "journalDirectory=" + folder.resolve("journal"),
                "ledgerDirectories=" + folder.resolve("ledgers"),
                "zkServers=" + servers,
                "zkLedgersRootPath=/ledgers",
                "diskUsageThreshold=0.999",
                "diskUsageWarnThreshold=0.99",
                "readOnlyModeEnabled=true"));
        Version.startBookie(settings.toString());

        Ledger ledgers = Ledger.begin(new String[] {servers});
        Commands.run(ledgers::run, "create 1 1 1");
        for (String command : List.of("add %d 2", "close %d", "read %d", "delete %d")) {
            Commands.run(ledgers::run, String.format(command, ledgers.created()));
        }
        Log logs = Log.begin(new String[] {
            "distributedlog://" + servers + "/messaging/train", "train", "bkcEnsembleSize=1",
            "bkcWriteQuorumSize=1", "bkcAckQuorumSize=1"});
        for (String command : List.of(
                "create a", "open a", "write a 2", "bulk a 2", "set a 2 codec=LZ4", "close a",
                "segments a", "read a", "tail a 4", "recover a", "delete a")) {
            Commands.run(logs::run, command);
        }
        // The archive is written on the way out; without the servers' own good-byes.
        Runtime.getRuntime().halt(0);
    }
}
