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

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(text.trim_end_matches('/').to_owned()));
        }
        if text.starts_with("distributedlog") {
            let uri = text.parse::<Uri>();
            return uri.map(Self::Namespace).map_err(|error| error.to_string());
        }
        let is_address = |text: &str| {
            let port = text.rsplit_once(':').map(|(_, port)| port);
            port.is_some_and(|port| port.parse::<u16>().is_ok())
        };
        if text.contains('!') || is_address(text) {
            return Ok(Self::Proxies(text.to_owned()));
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
        for name in [
            "inet!127.0.0.1:8000",
            "zk!zk-1:2181!/proxies",
            "127.0.0.1:8000",
        ] {
            assert!(matches!(place(name), Ok(Place::Proxies(found)) if found == name));
        }
        assert!(matches!(
            place("https://proxy.example:8002/"),
            Ok(Place::Http(url)) if url == "https://proxy.example:8002"
        ));
        for wrong in ["", "localhost", "a:b", "ftp://127.0.0.1"] {
            let error = place(wrong).expect_err(wrong);
            assert!(error.contains("inet!127.0.0.1:8000"), "{wrong}: {error}");
        }
        let error = place("distributedlog://").expect_err("it has no host");
        assert!(!error.is_empty());
    }
}
