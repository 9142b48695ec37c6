use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use std::borrow::Cow;

use distributedlog::StatusCode;
use distributedlog::wire::service::{ExceptionKind, Request};

use super::machine::{Reply, StreamReply};

/// Clients that may administer: delete and truncate streams, give up their ownership, set whether
/// the proxy accepts further streams, and inject faults. Writing and creating streams is not
/// restricted by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdminPeers {
    /// Clients of this machine, and HTTP clients that send the token, if one is required.
    #[default]
    Loopback,
    /// Every client that reaches a port.
    Any,
    /// No client.
    None,
}

impl AdminPeers {
    /// Returns the reason why a client may not administer.
    ///
    /// # Errors
    ///
    /// The setting excludes the client.
    pub(crate) fn check(self, peer: IpAddr, has_token: bool) -> Result<(), Cow<'static, str>> {
        match self {
            Self::Any => Ok(()),
            Self::Loopback if has_token || peer.to_canonical().is_loopback() => Ok(()),
            Self::Loopback => Err(format!(
                "clients of {peer} may not administer this proxy, only those of its own machine \
                 may: start it with --admin-from any to allow all"
            )
            .into()),
            Self::None => Err(
                "this proxy was started with --admin-from none: no client may administer it".into(),
            ),
        }
    }

    /// Checks a request that came by thrift.
    ///
    /// # Errors
    ///
    /// The reply for the client.
    pub(crate) fn check_request(self, request: &Request<'_>, peer: IpAddr) -> Result<(), Reply> {
        if !is_administration(request) {
            return Ok(());
        }
        self.check(peer, false).map_err(|why| {
            if let Request::SetAcceptNewStream { .. } = request {
                // Its reply has no room for a status.
                Reply::Exception {
                    kind: ExceptionKind::InternalError,
                    message: why,
                }
            } else {
                Reply::Stream(StreamReply::refused(StatusCode::RequestDenied, why))
            }
        })
    }
}

/// Returns true if the request does more than writing, reading and creating.
const fn is_administration(request: &Request<'_>) -> bool {
    match request {
        Request::SetAcceptNewStream { .. }
        | Request::Truncate { .. }
        | Request::Release { .. }
        | Request::Delete { .. } => true,
        Request::Handshake
        | Request::HandshakeWithClientInfo { .. }
        | Request::Write { .. }
        | Request::WriteWithContext { .. }
        | Request::WriteBulkWithContext { .. }
        | Request::Heartbeat { .. }
        | Request::HeartbeatWithOptions { .. }
        | Request::Create { .. }
        | Request::GetOwner { .. } => false,
    }
}

impl fmt::Display for AdminPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Any => "any",
            Self::None => "none",
        })
    }
}

impl FromStr for AdminPeers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "loopback" => Ok(Self::Loopback),
            "any" => Ok(Self::Any),
            "none" => Ok(Self::None),
            _ => Err("write loopback, any or none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_on_this_machine_is_recognised_in_every_form() {
        for (peer, local) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.5", false),
            ("::ffff:10.0.0.5", false),
            ("0.0.0.0", false),
        ] {
            let peer: IpAddr = peer.parse().expect("an address");
            let allowed = |from: AdminPeers| from.check(peer, false).is_ok();
            assert_eq!(allowed(AdminPeers::Loopback), local, "{peer}");
            assert!(allowed(AdminPeers::Any) && !allowed(AdminPeers::None));
            assert!(AdminPeers::Loopback.check(peer, true).is_ok());
            assert!(AdminPeers::None.check(peer, true).is_err());
        }
    }

    #[test]
    fn the_texts_of_the_flag_are_parsed() {
        for peers in [AdminPeers::Loopback, AdminPeers::Any, AdminPeers::None] {
            assert_eq!(peers.to_string().parse(), Ok(peers));
        }
        assert!("some".parse::<AdminPeers>().is_err());
    }
}
