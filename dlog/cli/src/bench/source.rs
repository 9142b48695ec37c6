use core::str::FromStr;

use distributedlog_reader::Source;
use distributedlog_store::uri::Uri;

use super::super::place::Place;
use super::super::target::ClientSecurity;
use super::super::{CliError, namespace};

/// Source of the records that are read back: a namespace, or the HTTP port of a write proxy.
#[derive(Clone, Debug)]
pub(super) enum ReadSource {
    Namespace(Uri),
    Http(String),
}

impl FromStr for ReadSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Place::Namespace(uri) => Ok(Self::Namespace(uri)),
            Place::Http(url) => Ok(Self::Http(url)),
            Place::Proxies(_) => Err(
                "records are not read from this port of a proxy; write its HTTP port, as in \
                 http://127.0.0.1:8002, or the namespace"
                    .to_owned(),
            ),
        }
    }
}

impl ReadSource {
    /// Connects to the store, or prepares to connect to the proxy.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub(super) async fn connect(&self, security: &ClientSecurity) -> Result<Source, CliError> {
        Ok(match self {
            Self::Namespace(uri) => namespace::connect(uri).await?.into(),
            Self::Http(url) => security.http_source(url).into(),
        })
    }
}
