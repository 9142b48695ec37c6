//! The cryptography of TLS is the application's choice: what the process has installed. Alone in
//! its file: a process has one default provider.

mod support;

use std::sync::Arc;

use distributedlog_tokio::rustls::crypto::{CryptoProvider, ring};
use distributedlog_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use distributedlog_tokio::rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};
use distributedlog_tokio::{ProxyClientBuilder, Tls};
use support::{Peer, Proxy};
use tokio_rustls::TlsAcceptor;

/// ring with a single cipher suite, which is not rustls's first choice.
fn provider_of(suite: CipherSuite) -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|each| each.suite() == suite);
    assert_eq!(provider.cipher_suites.len(), 1);
    provider
}

/// Returns the cipher suite of a connection that a client makes.
async fn agreed(acceptor: &TlsAcceptor, proxy: &Proxy, client: ProxyClientBuilder) -> CipherSuite {
    let (client, suite) = tokio::join!(client.build(), async {
        let stream = acceptor.accept(proxy.accept_tcp().await).await.unwrap();
        let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap();
        Peer::new(stream).accept_handshake().await;
        suite.suite()
    });
    client.unwrap();
    suite
}

#[tokio::test]
async fn the_installed_provider_is_used_and_that_of_a_client_config() {
    let proxy = Proxy::bind().await;
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));

    let trusting = Tls::only_roots()
        .add_root(made.cert.pem().as_bytes())
        .unwrap();
    let installed = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    provider_of(installed).install_default().unwrap();
    let client = proxy.client().tls(trusting);
    assert_eq!(agreed(&acceptor, &proxy, client).await, installed);

    let own = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider_of(own)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = Tls::client_config(Arc::new(config));
    let client = proxy.client().tls(tls.clone());
    assert_eq!(agreed(&acceptor, &proxy, client).await, own);

    let error = tls.add_root(made.cert.pem().as_bytes()).unwrap().prepare();
    let error = error.unwrap_err().to_string();
    assert!(error.contains("none can be added"), "{error}");
}
