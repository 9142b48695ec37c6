use core::fmt;
use core::str::FromStr;

use distributedlog_store::uri::Uri;

/// A place that a user names on the command line.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A namespace: `distributedlog://HOST:PORT/NAMESPACE`.
    Namespace(Uri),
    /// Write proxies, as a Finagle name: `inet!HOST:PORT`, `zk!…`.
    Proxies(String),
    /// The HTTP port of a write proxy: `http://HOST:PORT`.
    Http(String),
}

impl Place {
    /// Returns the key that names such a place in a context.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "namespace",
            Self::Proxies(_) => "proxies",
            Self::Http(_) => "http",
        }
    }

    /// Describes the kind of place.
    pub(crate) const fn kind_text(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "a namespace",
            Self::Proxies(_) => "the port for clients of write proxies",
            Self::Http(_) => "the HTTP port of a write proxy",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(uri) => uri.fmt(f),
            Self::Proxies(name) => f.write_str(name),
            Self::Http(url) => f.write_str(url),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            if text.contains('@') {
                // Not repeated: it may be a password.
                return Err(
                    "the URL has credentials; write the token into a file, and name that with \
                     --token-file"
                        .to_owned(),
                );
            }
            return Ok(Self::Http(text.trim_end_matches('/').to_owned()));
        }
        if text.starts_with("distributedlog") {
            let uri = text.parse::<Uri>();
            return uri.map(Self::Namespace).map_err(|error| error.to_string());
        }
        let is_address = |text: &str| {
            let port = text.rsplit_once(':').map(|(_, port)| port);
            !text.contains('/') && port.is_some_and(|port| port.parse::<u16>().is_ok())
        };
        if text.contains('/') && !text.contains("://") && !text.contains('!') {
            // The error says what is missing.
            let uri = text.parse::<Uri>();
            return uri.map(Self::Namespace).map_err(|error| error.to_string());
        }
        if text.contains('!') {
            return Ok(Self::Proxies(text.to_owned()));
        }
        if is_address(text) {
            // An address alone is a proxy's.
            return Ok(Self::Proxies(format!("inet!{text}")));
        }
        Err(
            "write a namespace (distributedlog://127.0.0.1:7000/messaging/distributedlog), proxies \
             (inet!127.0.0.1:8000), or a proxy's HTTP port (http://127.0.0.1:8002)"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_by_its_form_what_it_is() {
        let place = |text: &str| text.parse::<Place>();
        assert!(matches!(
            place("distributedlog://127.0.0.1:7000/n"),
            Ok(Place::Namespace(_))
        ));
        for (text, name) in [
            ("inet!127.0.0.1:8000", "inet!127.0.0.1:8000"),
            ("zk!zk-1:2181!/proxies", "zk!zk-1:2181!/proxies"),
            ("127.0.0.1:8000", "inet!127.0.0.1:8000"),
        ] {
            assert!(matches!(place(text), Ok(Place::Proxies(found)) if found == name));
        }
        let error = place("http://user:secret@proxy:8002").expect_err("it has a password");
        assert!(
            error.contains("--token-file") && !error.contains("secret"),
            "{error}"
        );
        assert!(matches!(
            place("https://proxy.example:8002/"),
            Ok(Place::Http(url)) if url == "https://proxy.example:8002"
        ));
        for wrong in ["", "localhost", "a:b", "ftp://127.0.0.1:21"] {
            let error = place(wrong).expect_err(wrong);
            assert!(error.contains("inet!127.0.0.1:8000"), "{wrong}: {error}");
        }
        let error = place("distributedlog://").expect_err("it has no host");
        assert!(!error.is_empty());
    }
}
