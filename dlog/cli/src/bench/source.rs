use core::str::FromStr;

use distributedlog_reader::{HttpSource, Source};
use distributedlog_store::uri::Uri;

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
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(text.to_owned()));
        }
        let uri = text.parse::<Uri>();
        uri.map(Self::Namespace).map_err(|error| {
            format!("{error}; a proxy's HTTP port is written http://127.0.0.1:8002")
        })
    }
}

impl ReadSource {
    /// Connects to the store, or prepares to connect to the proxy.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub(super) async fn connect(&self) -> Result<Source, CliError> {
        Ok(match self {
            Self::Namespace(uri) => namespace::connect(uri).await?.into(),
            Self::Http(url) => HttpSource::new([url]).into(),
        })
    }
}
