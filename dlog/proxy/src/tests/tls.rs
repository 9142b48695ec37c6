//! The protocols over TLS.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use distributedlog::wire::mux;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::kit::{Raw, dispatch, settings, start, write};
use crate::{RunningProxy, ServerCertificate};

/// A certificate for `localhost` and a client that trusts it.
pub(crate) fn identity() -> (ServerCertificate, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let identity = ServerCertificate::from_der(vec![made.cert.der().clone()], key)
        .expect("they belong together");
    (identity, trusting(made.cert.der().clone()))
}

/// A client that trusts this certificate.
fn trusting(certificate: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(client))
}

#[tokio::test]
async fn requests_large_and_small_are_answered_over_tls() {
    let (identity, connector) = identity();
    let (proxy, store) = start(settings().tls(Some(identity))).await;
    let socket = TcpStream::connect(proxy.local_addr())
        .await
        .expect("the proxy listens");
    let mut stream = connector
        .connect(ServerName::try_from("localhost").expect("a name"), socket)
        .await
        .expect("a handshake");
    for (tag, size) in [(2, 10), (3, 1_000_000), (4, 0)] {
        stream
            .write_all(&dispatch(tag, &[], &write("s", &vec![7; size])))
            .await
            .expect("the proxy reads");
        let mut answer = vec![0; 98];
        stream.read_exact(&mut answer).await.expect("an answer");
        let frame = mux::Frame::decode(&answer).expect("one whole frame");
        assert_eq!(
            super::kit::meaning(&frame.message),
            format!("200 at 1/{}/0", tag - 2)
        );
    }
    assert_eq!(store.records("s").len(), 3);
    stream.shutdown().await.expect("an orderly end");
    assert_eq!(stream.read(&mut [0]).await.expect("an orderly end"), 0);
    assert_eq!(proxy.drain().await.connections_cut, 0);
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_closed_in_time() {
    let (identity, _) = identity();
    let (proxy, _) = start(
        settings()
            .tls(Some(identity))
            .handshake_timeout(Duration::from_millis(20)),
    )
    .await;
    let mut plain = Raw::connect(&proxy).await;
    plain.send(&dispatch(2, &[], &write("s", b"x"))).await;
    // TLS may send an alert, which is not a frame; the connection must end.
    let mut rest = Vec::new();
    let _ = plain.stream.read_to_end(&mut rest).await;
    let mut silent = Raw::connect(&proxy).await;
    silent.closed().await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (missing, empty) = (
        folder.path().join("missing.pem"),
        folder.path().join("empty.pem"),
    );
    std::fs::write(&empty, "").expect("a file");
    let error = ServerCertificate::from_pem_files(&missing, &empty).expect_err("there is none");
    assert_eq!(error.path, missing);
    let error = ServerCertificate::from_pem_files(&empty, &missing).expect_err("it is empty");
    assert!(
        error
            .to_string()
            .ends_with("empty.pem: contains no certificate"),
        "{error}"
    );
}

/// Returns the certificate that the proxy presents to a client that trusts it.
async fn presented(proxy: &RunningProxy, connector: &TlsConnector) -> io::Result<Vec<u8>> {
    let socket = TcpStream::connect(proxy.local_addr()).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = connector.connect(name, socket).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    Ok(certificates.expect("the proxy's")[0].to_vec())
}

#[tokio::test]
async fn new_connections_get_a_certificate_that_was_reloaded() {
    let (certificate, former) = identity();
    let (proxy, _) = start(settings().tls(Some(certificate.clone()))).await;
    let first = presented(&proxy, &former).await.expect("a handshake");
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, key) = (folder.path().join("chain"), folder.path().join("key"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
    std::fs::write(&chain, made.cert.pem()).expect("a file");
    std::fs::write(&key, "no key").expect("a file");
    certificate
        .reload_pem_files(&chain, &key)
        .expect_err("there is no key");
    let kept = presented(&proxy, &former).await.expect("a handshake");
    assert_eq!(kept, first, "nothing has changed");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    certificate
        .reload_pem_files(&chain, &key)
        .expect("they belong together");
    let connector = trusting(made.cert.der().clone());
    let second = presented(&proxy, &connector).await.expect("a handshake");
    assert_eq!(second, made.cert.der().to_vec());
}
