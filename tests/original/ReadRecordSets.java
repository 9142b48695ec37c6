// In this package because only it may flag a record as a record set.
package org.apache.distributedlog;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Arrays;

/**
 * Reads record sets with the original's own reader. Each line of the standard input is a set in hex, a space, and the records that it must
 * hold, in hex, with a comma behind each. Says how many sets and records there were; fails at the first that differs.
 */
public class ReadRecordSets {
    private static final int FIRST_SLOT = 3;

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        int sets = 0;
        int records = 0;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            int space = line.indexOf(' ');
            String[] expected = line.substring(space + 1).split(",", -1);
            LogRecordWithDLSN stored = new LogRecordWithDLSN(new DLSN(1, 2, FIRST_SLOT), 9, bytes(line.substring(0, space)), 1);
            stored.setRecordSet();
            LogRecordSet.Reader reader = LogRecordSet.of(stored);
            int index = 0;
            for (LogRecordWithDLSN record = reader.nextRecord(); record != null; record = reader.nextRecord()) {
                boolean same = index < expected.length - 1 && Arrays.equals(record.getPayload(), bytes(expected[index]));
                if (!same || record.getDlsn().getSlotId() != FIRST_SLOT + index) {
                    throw new AssertionError("set " + sets + ", record " + index + " at " + record.getDlsn());
                }
                index++;
            }
            if (index != expected.length - 1) {
                throw new AssertionError("set " + sets + " has " + index + " records, not " + (expected.length - 1));
            }
            sets++;
            records += index;
        }
        System.out.println(sets + " sets, " + records + " records");
    }

    private static byte[] bytes(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }
}
