package peer;

import java.nio.charset.StandardCharsets;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.bookkeeper.client.BKException;
import org.apache.bookkeeper.client.BookKeeper;
import org.apache.bookkeeper.client.LedgerEntry;
import org.apache.bookkeeper.client.LedgerHandle;
import org.apache.bookkeeper.conf.ClientConfiguration;

/**
 * BookKeeper's client. Arguments: ZooKeeper's servers, and settings of the client `key=value`.
 *
 * <p>Commands (digest: CRC32, CRC32C, MAC, DUMMY; the default is CRC32 and an empty password):
 *
 * <ul>
 *   <li>`create E W A [digest=] [password=]` prints `ledger`
 *   <li>`add LEDGER COUNT [prefix=entry] [size=0] [window=1]` prints `entry`, `lac` and the payload
 *       of each acknowledged entry: `PREFIX-ID`, and dots up to the size. At the first failure it
 *       ends with the error.
 *   <li>`close LEDGER` prints `lac`, `length`
 *   <li>`read LEDGER [recovery=true] [from=0] [digest=] [password=]` prints `closed`, `lac`,
 *       `length`, then each entry
 *   <li>`unconfirmed LEDGER FROM TO` prints the entries, without recovery
 *   <li>`recover LEDGER` prints `lac`, `length`; `delete LEDGER`
 * </ul>
 */
public final class Ledger {
    private final BookKeeper client;
    private final Map<Long, LedgerHandle> written = new HashMap<>();
    private long created;

    private Ledger(BookKeeper client) {
        this.client = client;
    }

    public static void main(String[] arguments) throws Exception {
        Ledger peer = begin(arguments);
        new Out().with("ready", "ledger").print();
        Commands.serve(peer::run);
    }

    static Ledger begin(String[] arguments) throws Exception {
        ClientConfiguration settings = new ClientConfiguration();
        // Both versions understand these two; the layout is what the cluster's LAYOUT says.
        settings.setProperty("zkServers", arguments[0]);
        settings.setProperty("zkLedgersRootPath", "/ledgers");
        Commands.words(arguments, 1).settings().forEach(settings::setProperty);
        return new Ledger(new BookKeeper(settings));
    }

    /** The id of the ledger that was created last. */
    long created() {
        return created;
    }

    void run(String name, Commands.Words words) throws Exception {
        switch (name) {
            case "create" -> create(words);
            case "add" -> add(written.get(words.number(0)), words);
            case "close" -> {
                LedgerHandle ledger = written.remove(words.number(0));
                ledger.close();
                end(ledger).print();
            }
            case "read" -> read(words);
            case "unconfirmed" -> {
                LedgerHandle ledger = open(words, false);
                entries(ledger.readUnconfirmedEntries(words.number(1), words.number(2)));
                ledger.close();
            }
            case "recover" -> {
                LedgerHandle ledger = open(words, true);
                end(ledger).print();
                ledger.close();
            }
            case "delete" -> client.deleteLedger(words.number(0));
            default -> throw new IllegalArgumentException(name);
        }
    }

    private void create(Commands.Words words) throws Exception {
        LedgerHandle ledger =
                client.createLedger(
                        (int) words.number(0),
                        (int) words.number(1),
                        (int) words.number(2),
                        digest(words),
                        password(words));
        created = ledger.getId();
        written.put(created, ledger);
        new Out().with("ledger", ledger.getId()).print();
    }

    private static void add(LedgerHandle ledger, Commands.Words words) throws Exception {
        long count = words.number(1);
        int window = (int) words.number("window", 1);
        String prefix = words.text("prefix", "entry");
        int size = (int) words.number("size", 0);
        Semaphore room = new Semaphore(window);
        AtomicReference<Throwable> failed = new AtomicReference<>();
        long first = ledger.getLastAddPushed() + 1;
        for (long id = first; id < first + count && failed.get() == null; id++) {
            room.acquire();
            byte[] payload = Payload.of(prefix, id, size);
            ledger.asyncAddEntry(
                    payload,
                    (code, handle, entry, context) -> {
                        if (code == BKException.Code.OK) {
                            Out line = new Out().with("entry", entry);
                            line.with("lac", handle.getLastAddConfirmed()).payload(payload).print();
                        } else {
                            failed.compareAndSet(null, BKException.create(code));
                        }
                        room.release();
                    },
                    null);
        }
        room.acquire(window);
        if (failed.get() != null) {
            throw new IllegalStateException("an add failed", failed.get());
        }
    }

    private void read(Commands.Words words) throws Exception {
        LedgerHandle ledger = open(words, words.flag("recovery", true));
        end(ledger).with("closed", client.isClosed(ledger.getId())).print();
        long last = ledger.getLastAddConfirmed();
        // In slices, as the client holds all entries of a call in memory.
        for (long from = words.number("from", 0); from <= last; from += 500) {
            entries(ledger.readEntries(from, Math.min(last, from + 499)));
        }
        ledger.close();
    }

    private static void entries(Enumeration<LedgerEntry> entries) {
        while (entries.hasMoreElements()) {
            LedgerEntry entry = entries.nextElement();
            Out line = new Out().with("entry", entry.getEntryId());
            line.with("length", entry.getLength()).payload(entry.getEntry()).print();
        }
    }

    private LedgerHandle open(Commands.Words words, boolean recovery) throws Exception {
        long id = words.number(0);
        return recovery
                ? client.openLedger(id, digest(words), password(words))
                : client.openLedgerNoRecovery(id, digest(words), password(words));
    }

    private static Out end(LedgerHandle ledger) {
        Out line = new Out().with("ledger", ledger.getId());
        return line.with("lac", ledger.getLastAddConfirmed()).with("length", ledger.getLength());
    }

    private static BookKeeper.DigestType digest(Commands.Words words) {
        return BookKeeper.DigestType.valueOf(words.text("digest", "CRC32"));
    }

    private static byte[] password(Commands.Words words) {
        return words.text("password", "").getBytes(StandardCharsets.UTF_8);
    }
}
