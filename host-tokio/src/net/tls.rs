use core::fmt;
use std::io::{self, BufReader};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::error::TlsError;

/// TLS settings of the connections to proxies: trusted authorities, server name, client
/// certificate.
///
/// TLS 1.2 and 1.3. The authorities are those of the machine
/// ([`native_roots`](Self::native_roots)), or only those given ([`only_roots`](Self::only_roots)),
/// never none: a certificate is always checked.
#[derive(Clone)]
pub struct Tls {
    native: bool,
    roots: Vec<CertificateDer<'static>>,
    server_name: Option<String>,
    client_certificate: Option<Arc<ClientCertificate>>,
}

/// The certificate chain and the key with which this client shows who it is.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    /// Trusts the authorities that the machine's owner trusts.
    #[must_use]
    pub const fn native_roots() -> Self {
        Self {
            native: true,
            roots: Vec::new(),
            server_name: None,
            client_certificate: None,
        }
    }

    /// Trusts only the authorities that are added with [`add_root`](Self::add_root).
    #[must_use]
    pub const fn only_roots() -> Self {
        Self {
            native: false,
            roots: Vec::new(),
            server_name: None,
            client_certificate: None,
        }
    }

    /// Trusts the authorities whose certificates are in this PEM text too.
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`] when the text is not PEM or holds no certificate.
    pub fn add_root(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        self.roots.extend(certificates(pem)?);
        Ok(self)
    }

    /// The name that the proxies' certificates must be for, when it is not the host's in the name
    /// that was connected to.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets the certificate for proxies that ask for one.
    #[must_use]
    pub fn client_certificate(mut self, client_certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(Arc::new(client_certificate));
        self
    }

    /// Makes the settings ready for use: loads the roots and reads the client's key. The clients of
    /// this crate do that themselves; others, such as the readers of `distributedlog-reader`, share
    /// the settings.
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`] when no authority is trusted, or a certificate or the key is not one;
    /// [`TlsError::InvalidServerName`].
    pub fn prepare(&self) -> Result<TlsConnector, TlsError> {
        let mut store = RootCertStore::empty();
        if self.native {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "a certificate of the machine's trust store cannot be read");
            }
            store.add_parsable_certificates(found.certs);
        }
        for root in &self.roots {
            store
                .add(root.clone())
                .map_err(|error| TlsError::Settings(format!("root certificate: {error}")))?;
        }
        if store.is_empty() {
            return Err(TlsError::Settings(
                "no authority is trusted: add a root certificate".to_owned(),
            ));
        }
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| TlsError::Settings(error.to_string()))?
                .with_root_certificates(store);
        let config = match &self.client_certificate {
            None => builder.with_no_client_auth(),
            Some(client_certificate) => builder
                .with_client_auth_cert(
                    client_certificate.chain.clone(),
                    client_certificate.key.clone_key(),
                )
                .map_err(|error| TlsError::Settings(format!("client certificate: {error}")))?,
        };
        let server_name = self.server_name.as_deref().map(parse_name).transpose()?;
        Ok(TlsConnector {
            connector: Arc::new(config).into(),
            server_name,
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("native_roots", &self.native)
            .field("added_roots", &self.roots.len())
            .field("server_name", &self.server_name)
            .field("client_certificate", &self.client_certificate.is_some())
            .finish()
    }
}

impl ClientCertificate {
    /// Reads a certificate from these PEM texts: a chain, the client's own certificate first, and
    /// its key (PKCS#8, PKCS#1 or SEC1).
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`] when either text holds none.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Settings(format!("client key: {error}")))?;
        Ok(Self {
            chain: certificates(chain)?,
            key,
        })
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// [`Tls`] made ready for use. Cheap to clone.
#[derive(Clone)]
pub struct TlsConnector {
    connector: tokio_rustls::TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl TlsConnector {
    /// Makes a TLS session over `stream`, with `host` as the expected name unless the settings name
    /// another.
    ///
    /// # Errors
    ///
    /// The peer and the settings do not agree on a session, or the connection ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, TlsError> {
        self.connect(host, stream).await
    }

    /// Makes a TLS session over `stream`, with `host` as the expected name unless the settings name
    /// another.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => parse_name(host)?,
        };
        let shown = name.to_str().into_owned();
        self.connector
            .connect(name, stream)
            .await
            .map_err(|error| TlsError::of_io(error, &shown))
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::InvalidServerName(name.to_owned()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut reader = BufReader::new(io::Cursor::new(pem));
    let found: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(&mut reader).collect();
    let found = found.map_err(|error| TlsError::Settings(format!("certificate: {error}")))?;
    if found.is_empty() {
        return Err(TlsError::Settings(
            "the PEM text holds no certificate".to_owned(),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusting_no_authority_is_refused() {
        assert!(matches!(
            Tls::only_roots().prepare(),
            Err(TlsError::Settings(_))
        ));
    }

    #[test]
    fn text_without_a_certificate_is_refused() {
        assert!(matches!(
            Tls::only_roots().add_root(b"not a certificate"),
            Err(TlsError::Settings(_))
        ));
    }

    #[test]
    fn a_name_that_no_certificate_can_be_for_is_refused() {
        assert!(matches!(
            parse_name("no such name!"),
            Err(TlsError::InvalidServerName(_))
        ));
    }
}
