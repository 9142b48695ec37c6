use core::net::SocketAddr;
use core::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::TlsConnector;
use super::error::ConnectError;
use super::stream::NetStream;

/// Settings common to all connections of a client.
#[derive(Clone)]
pub(crate) struct ConnectSettings {
    /// For TCP's and TLS' handshakes together.
    pub(crate) timeout: Duration,
    pub(crate) tls: Option<TlsConnector>,
}

/// Connects to `address` within the settings' timeout; `host` is the name that a TLS certificate
/// must be for.
#[cfg_attr(
    not(feature = "tls"),
    expect(unused_variables, reason = "TLS needs the name")
)]
pub(crate) async fn connect(
    settings: ConnectSettings,
    address: SocketAddr,
    host: String,
) -> Result<NetStream, ConnectError> {
    let ConnectSettings {
        timeout: limit,
        tls,
    } = settings;
    let connecting = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(ConnectError::Tcp)?;
        // Frames are batched before they are written; Nagle would only hold the last one back.
        stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
        match tls {
            None => Ok(NetStream::Tcp(stream)),
            #[cfg(not(feature = "tls"))]
            Some(none) => match none {},
            #[cfg(feature = "tls")]
            Some(tls) => tls
                .connect(&host, stream)
                .await
                .map(|stream| NetStream::Tls(Box::new(stream)))
                .map_err(ConnectError::Tls),
        }
    };
    timeout(limit, connecting)
        .await
        .unwrap_or(Err(ConnectError::TimedOut(limit)))
}

#[cfg(test)]
mod tests {
    use distributedlog_testkit::ports::ReservedPort;

    use super::*;

    #[tokio::test]
    async fn a_refused_connect_says_so() {
        let port = ReservedPort::new();
        let address = ([127, 0, 0, 1], port.number()).into();
        let settings = ConnectSettings {
            timeout: Duration::from_secs(5),
            tls: None,
        };
        let error = connect(settings, address, "localhost".to_owned())
            .await
            .unwrap_err();
        let ConnectError::Tcp(error) = error else {
            panic!("{error}")
        };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
