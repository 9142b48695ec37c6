use core::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error};

use super::{TlsError, read_pem_files, read_roots, unusable};
use crate::net::ByteStream;

/// TLS of a store's clients: the authorities that they trust, and the certificate that they
/// present.
#[derive(Clone)]
pub struct ClientTls(TlsConnector);

impl ClientTls {
    /// Trusts the authorities in the PEM file `authorities`, and no others. `own` are the files of
    /// the client's certificate chain and of its key, for a server that asks for them.
    ///
    /// # Errors
    ///
    /// A file cannot be used. The error names it.
    pub fn from_pem_files(
        authorities: &Path,
        own: Option<(&Path, &Path)>,
    ) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder().with_root_certificates(read_roots(authorities)?);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let (chain, private_key) = read_pem_files(certificates, key)?;
                builder
                    .with_client_auth_cert(chain, private_key)
                    .map_err(|error| unusable(key, &error))?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Makes a TLS session over a connection to `host`, which must be a name of the server's
    /// certificate.
    ///
    /// # Errors
    ///
    /// The handshake failed, or `host` is neither a name nor an address.
    pub(crate) async fn connect<S: ByteStream>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.0.connect(name, stream).await
    }
}

/// Returns the alert by which a server ended a TLS session.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    let Error::AlertReceived(alert) = error.get_ref()?.downcast_ref()? else {
        return None;
    };
    Some(*alert)
}

/// Returns true if a server ended a TLS session because of this client.
pub(crate) fn is_alert(error: &io::Error) -> bool {
    alert(error).is_some_and(|alert| alert != AlertDescription::CloseNotify)
}

/// Describes why a server ended a TLS session, for a client of a store.
pub(crate) fn describe_alert(error: &io::Error) -> String {
    if alert(error) == Some(AlertDescription::CertificateRequired) {
        return "it requires a certificate of its clients: --store-certificate FILE and \
                --store-key FILE"
            .to_owned();
    }
    format!(
        "it refuses this client's TLS handshake: {error}; its --tls-client-ca must be the \
         authority of this client's --store-certificate"
    )
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key must not get into logs.
        f.write_str("ClientTls")
    }
}
