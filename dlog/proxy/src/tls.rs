use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;

use super::recorded::RecordedStream;
use distributedlog_store::net::ByteStream;
use distributedlog_store::peer_protocol::{PeerProtocol, http_refusal};

/// Limit of the reads of what a client without TLS still sends after the response to it.
const MAX_LINGER_READS: usize = 64;

/// The proxy's TLS certificate: a certificate chain and its private key. Clones share it, also when
/// it is [replaced](Self::reload_pem_files).
#[derive(Clone)]
pub struct ServerCertificate {
    current: Arc<CurrentCertificate>,
    acceptor: TlsAcceptor,
    http_acceptor: TlsAcceptor,
}

/// The certificate that new connections get.
#[derive(Debug)]
struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl ServerCertificate {
    /// Reads a chain of certificates, the proxy's own first, and a private key (PKCS #8, PKCS #1 or
    /// SEC 1) from PEM files.
    ///
    /// # Errors
    ///
    /// A file cannot be read or contains no certificate or key, or the key does not belong to the
    /// first certificate. The error names the file.
    pub fn from_pem_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let (chain, private_key) = read_pem_files(certificates, key)?;
        Self::from_der(chain, private_key).map_err(|error| unusable(key, &error))
    }

    /// Takes the chain, the proxy's own certificate first, and the key from memory.
    ///
    /// # Errors
    ///
    /// The key is of an unknown kind or does not belong to the first certificate.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, tokio_rustls::rustls::Error> {
        let builder = ServerConfig::builder();
        let certified = CertifiedKey::from_der(chain, key, builder.crypto_provider())?;
        let current = Arc::new(CurrentCertificate(RwLock::new(Arc::new(certified))));
        let config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        let mut http = config.clone();
        http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            current,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            http_acceptor: TlsAcceptor::from(Arc::new(http)),
        })
    }

    /// Reads another chain and its key from PEM files, and presents them to new connections, also
    /// those of a running proxy that has a clone of this value. Open connections go on.
    ///
    /// # Errors
    ///
    /// As [`from_pem_files`](Self::from_pem_files). Nothing has changed then.
    pub fn reload_pem_files(&self, certificates: &Path, key: &Path) -> Result<(), TlsError> {
        let (chain, private_key) = read_pem_files(certificates, key)?;
        let provider = Arc::clone(self.acceptor.config().crypto_provider());
        let certified = CertifiedKey::from_der(chain, private_key, &provider)
            .map_err(|error| unusable(key, &error))?;
        let current = &self.current.0;
        *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        Ok(())
    }

    /// Accepts a connection on the port for `purpose`. A peer without TLS is named in the error,
    /// and gets a response if it speaks HTTP: `http` says what is where.
    ///
    /// # Errors
    ///
    /// The handshake failed.
    pub(super) async fn accept<S: ByteStream>(
        acceptor: &TlsAcceptor,
        stream: S,
        purpose: &str,
        http: impl FnOnce() -> String,
    ) -> io::Result<TlsStream<RecordedStream<S>>> {
        let mut stream = RecordedStream::new(stream);
        let protocol = match stream.sniff().await? {
            None | Some(PeerProtocol::Tls) => return acceptor.accept(stream).await,
            Some(protocol) => protocol,
        };
        if matches!(protocol, PeerProtocol::Http | PeerProtocol::Http2) {
            let text = format!("this port is for {purpose}, and requires TLS: {}", http());
            // The peer may have gone.
            let _ = stream.write_all(&http_refusal(&text)).await;
            let _ = stream.shutdown().await;
            // Closing a socket with unread bytes resets it, and the response would be lost.
            let mut dropped = [0; 1 << 10];
            for _ in 0..MAX_LINGER_READS {
                if matches!(stream.read(&mut dropped).await, Ok(0) | Err(_)) {
                    break;
                }
            }
        }
        let what = format!("the client speaks {protocol} without TLS, which this port requires");
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }

    /// Returns the acceptor for mux and framed thrift.
    pub(super) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Returns the acceptor that negotiates the version of HTTP (ALPN).
    pub(super) const fn http_acceptor(&self) -> &TlsAcceptor {
        &self.http_acceptor
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key must not get into logs.
        f.write_str("ServerCertificate")
    }
}

fn unusable(path: &Path, detail: &dyn fmt::Display) -> TlsError {
    TlsError {
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}

/// Reads a chain of certificates and a private key.
fn read_pem_files(
    certificates: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(certificates, &error))?;
    if chain.is_empty() {
        return Err(unusable(certificates, &"contains no certificate"));
    }
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    Ok((chain, private_key))
}

/// A certificate or key file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// Description of the error.
    pub detail: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.detail)
    }
}

impl core::error::Error for TlsError {}
