//! TLS, with certificates made on the spot.

mod support;

use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_tokio::{
    BuildError, ClientCertificate, ConnectError, HostFailureReason, ProxyClientBuilder, Tls,
    TlsError,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use support::{Peer, Proxy, build_error};
use tokio_rustls::TlsAcceptor;

const AT: Dlsn = Dlsn::new(1, 2, 3);
/// An authority that signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name, and its key.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server with a certificate for this name, which asks clients for one of `clients`'
    /// authority if that is given.
    fn acceptor(&self, name: &str, clients: Option<&Self>) -> TlsAcceptor {
        let (certificate, key) = self.issue(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .unwrap(),
                )
            }
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }
}

fn trusting(authority: &Authority) -> Tls {
    Tls::only_roots()
        .add_root(authority.pem().as_bytes())
        .unwrap()
}

/// A record is written over TLS.
async fn written(proxy: &Proxy, acceptor: &TlsAcceptor, builder: ProxyClientBuilder) {
    let (client, mut peer) = tokio::join!(builder.build(), async {
        let mut peer = Peer::new(acceptor.accept(proxy.accept_tcp().await).await.unwrap());
        peer.accept_handshake().await;
        peer
    });
    let client = client.unwrap();
    let record = vec![42; 300_000];
    let (written, ()) = tokio::join!(client.write("s", &record), async {
        let call = peer.call().await;
        assert_eq!(call.data.len(), 300_000);
        peer.answer_written(&call, AT).await;
    });
    assert_eq!(written, Ok(AT));
}

/// Returns the reason why a client with these settings does not connect.
async fn refused(
    proxy: &Proxy,
    acceptor: &TlsAcceptor,
    builder: ProxyClientBuilder,
) -> (TlsError, String) {
    let serving = async {
        loop {
            let _ = acceptor.accept(proxy.accept_tcp().await).await;
        }
    };
    let error = tokio::select! {
        error = build_error(builder) => error,
        () = serving => unreachable!(),
    };
    let text = error.to_string();
    let BuildError::NoProxy { hosts, .. } = error else {
        panic!("{text}")
    };
    let Some(HostFailureReason::Connect(ConnectError::Tls(error))) =
        hosts.into_iter().map(|host| host.reason).next()
    else {
        panic!("{text}")
    };
    (error, text)
}

#[tokio::test]
async fn records_are_written_over_tls() {
    let (proxy, authority) = (Proxy::bind().await, Authority::new("proxies"));
    let name = format!("inet!localhost:{}", proxy.address.port());
    written(
        &proxy,
        &authority.acceptor("localhost", None),
        proxy.client().proxies(name).tls(trusting(&authority)),
    )
    .await;
}

#[tokio::test]
async fn a_certificate_for_an_address_will_do() {
    let (proxy, authority) = (Proxy::bind().await, Authority::new("proxies"));
    written(
        &proxy,
        &authority.acceptor("127.0.0.1", None),
        proxy.client().tls(trusting(&authority)),
    )
    .await;
}

#[tokio::test]
async fn the_expected_name_can_be_set() {
    let (proxy, authority) = (Proxy::bind().await, Authority::new("proxies"));
    let tls = trusting(&authority).server_name("proxies.example");
    written(
        &proxy,
        &authority.acceptor("proxies.example", None),
        proxy.client().tls(tls),
    )
    .await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (proxy, authority) = (Proxy::bind().await, Authority::new("proxies"));
    let acceptor = authority.acceptor("other.example", None);
    let (error, text) = refused(&proxy, &acceptor, proxy.client().tls(trusting(&authority))).await;
    assert!(
        matches!(&error, TlsError::WrongName { expected } if expected == "127.0.0.1"),
        "{text}"
    );
    assert!(text.contains(&proxy.address.to_string()), "{text}");
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let (proxy, authority, other) = (
        Proxy::bind().await,
        Authority::new("theirs"),
        Authority::new("ours"),
    );
    let acceptor = authority.acceptor("127.0.0.1", None);
    let (error, text) = refused(&proxy, &acceptor, proxy.client().tls(trusting(&other))).await;
    assert!(matches!(error, TlsError::UnknownAuthority), "{text}");
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let (proxy, authority, clients) = (
        Proxy::bind().await,
        Authority::new("proxies"),
        Authority::new("clients"),
    );
    let (certificate, key) = clients.issue("the-client");
    let client_certificate =
        ClientCertificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
            .unwrap();
    let acceptor = authority.acceptor("127.0.0.1", Some(&clients));
    written(
        &proxy,
        &acceptor,
        proxy
            .client()
            .tls(trusting(&authority).client_certificate(client_certificate)),
    )
    .await;
}

#[tokio::test]
async fn a_proxy_that_speaks_no_tls_is_named() {
    let (proxy, authority) = (Proxy::bind().await, Authority::new("proxies"));
    let serving = async {
        loop {
            let mut peer = Peer::new(proxy.accept_tcp().await);
            peer.send_bytes(b"\0\0\0\x04\xbf\0\0\x01").await;
        }
    };
    let client = proxy.client().tls(trusting(&authority));
    let error = tokio::select! {
        error = build_error(client) => error,
        () = serving => unreachable!(),
    };
    let text = error.to_string();
    assert!(
        text.contains("no TLS session: the peer does not speak TLS"),
        "{text}"
    );
}
