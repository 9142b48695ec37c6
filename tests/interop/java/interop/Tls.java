package interop;

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.Base64;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** One certificate for 127.0.0.1, made by tests/parts/interop: its owner, and who trusts nobody else. */
record Tls(KeyStore store) {
    private static final char[] PASSWORD = "interop".toCharArray();

    /** The Netty of this Finagle does not come to the end of a handshake of TLS 1.3 with Java 17. */
    private static final String VERSION = "TLSv1.2";

    /** Trusts whom Java trusts. */
    static SSLContext anyones() throws Exception {
        SSLContext context = SSLContext.getInstance(VERSION);
        context.init(null, null, null);
        return context;
    }

    static Tls of(Path path) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(path)) {
            store.load(in, PASSWORD);
        }
        return new Tls(store);
    }

    /** As the certificate's owner, and trusting it. */
    SSLContext context() throws Exception {
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, PASSWORD);
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance(VERSION);
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }

    private static void write(Path file, String what, byte[] bytes) throws Exception {
        String text = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(bytes);
        Files.writeString(file, "-----BEGIN " + what + "-----\n" + text + "\n-----END " + what + "-----\n", StandardCharsets.US_ASCII);
    }

    /** Writes the certificate and its key as PEM. */
    void write(Path certificate, Path key) throws Exception {
        write(certificate, "CERTIFICATE", store.getCertificate("proxy").getEncoded());
        write(key, "PRIVATE KEY", store.getKey("proxy", PASSWORD).getEncoded());
    }
}
