//! Finds out early that no server of ZooKeeper can be reached.

use core::future::pending;
use core::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

/// Time that a session has before the servers are tried: one that begins at once costs them no
/// further connection.
const GRACE: Duration = Duration::from_millis(300);

/// Port of a server that names none.
const DEFAULT_PORT: &str = "2181";

/// Returns the reasons once every server has refused a connection, or has no address. Otherwise it
/// does not return: a server that does not answer may do so later.
///
/// # Cancel safety
///
/// Dropping the future closes its connection.
pub(super) async fn until_all_refuse(servers: &str) -> String {
    sleep(GRACE).await;
    // A path behind the last server is where a client begins.
    let hosts = servers.split('/').next().unwrap_or(servers);
    let hosts: Vec<&str> = hosts
        .split([',', ';'])
        .filter(|it| !it.is_empty())
        .collect();
    let mut reasons = Vec::new();
    for host in &hosts {
        let address = match host.rsplit_once(':') {
            Some(_) => (*host).to_owned(),
            None => format!("{host}:{DEFAULT_PORT}"),
        };
        match TcpStream::connect(&address).await {
            Ok(_) => return pending().await,
            Err(error) if hosts.len() == 1 => reasons.push(error.to_string()),
            Err(error) => reasons.push(format!("{host}: {error}")),
        }
    }
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    use super::*;

    /// A port of this machine at which nothing listens while the socket is held.
    fn refusing() -> (TcpSocket, String) {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any = "127.0.0.1:0".parse().expect("an address");
        socket.bind(any).expect("a free port");
        let address = socket.local_addr().expect("it is bound").to_string();
        (socket, address)
    }

    #[tokio::test]
    async fn servers_that_all_refuse_are_named_with_their_reasons() {
        let ((_one, one), (_other, other)) = (refusing(), refusing());
        let reason = until_all_refuse(&one).await;
        assert!(reason.starts_with("Connection refused"), "{reason}");
        let reason = until_all_refuse(&format!("{one};{other}/root")).await;
        let expected = format!("{one}: Connection refused");
        assert!(reason.starts_with(&expected), "{reason}");
        assert!(
            reason.contains(&format!("; {other}: Connection refused")),
            "{reason}"
        );
    }

    #[tokio::test]
    async fn one_server_that_accepts_may_still_begin_a_session() {
        let (_one, one) = refusing();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let servers = format!("{one},{address}");
        let mut tried = Box::pin(until_all_refuse(&servers));
        tokio::select! {
            reason = &mut tried => panic!("{reason}"),
            accepted = listener.accept() => drop(accepted.expect("a connection")),
        }
        // It was accepted: nothing more happens.
        let waited = timeout(Duration::from_millis(1), tried).await;
        assert!(waited.is_err(), "{waited:?}");
    }
}
