use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use distributedlog::Escaped;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Longest name of a principal, in bytes. A certificate with a longer one names nobody.
pub(crate) const MAX_NAME_BYTES: usize = 256;

/// How a client has shown who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Authentication {
    /// By a certificate of one of the authorities for clients.
    Certificate,
    /// By a token.
    Token,
    /// Not at all; it is a program of this machine.
    Loopback,
    /// Not at all.
    Anonymous,
}

impl Authentication {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::Loopback => "loopback",
            Self::Anonymous => "anonymous",
        }
    }
}

/// The client of a connection or of a request. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Principal {
    how: Authentication,
    /// `None` for clients that have not shown who they are.
    name: Option<Arc<str>>,
}

impl Principal {
    /// Returns the client that sent the token with this name.
    pub(crate) const fn of_token(name: Arc<str>) -> Self {
        Self {
            how: Authentication::Token,
            name: Some(name),
        }
    }

    /// Returns the client that presented this certificate, in DER, which the TLS handshake has
    /// verified. A certificate without a usable name says no more than the address does.
    pub(crate) fn of_certificate(der: &[u8], peer: IpAddr) -> Self {
        certificate_name(der).map_or_else(
            || Self::of_address(peer),
            |name| Self {
                how: Authentication::Certificate,
                name: Some(name.into()),
            },
        )
    }

    /// Returns the client at this address, which has not shown who it is.
    pub(crate) fn of_address(peer: IpAddr) -> Self {
        let how = if peer.to_canonical().is_loopback() {
            Authentication::Loopback
        } else {
            Authentication::Anonymous
        };
        Self { how, name: None }
    }

    pub(crate) const fn how(&self) -> Authentication {
        self.how
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.how) {
            (Some(name), how) => write!(f, "{} ({})", Escaped(name), how.name()),
            (None, Authentication::Loopback) => f.write_str("a client of this machine"),
            (None, _) => f.write_str("an anonymous client"),
        }
    }
}

/// Returns the name in a certificate: its first DNS name, else its first URI, else its first e-mail
/// address (all of them subject alternative names), else the common name of its subject.
fn certificate_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let extension = certificate.subject_alternative_name().ok()?;
    let names = extension.map_or(&[][..], |it| &it.value.general_names);
    let common = || {
        let mut names = certificate.subject().iter_common_name();
        names
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned)
    };
    let mut alternative = None;
    for name in names {
        let (rank, text) = match name {
            GeneralName::DNSName(text) => (0, *text),
            GeneralName::URI(text) => (1, *text),
            GeneralName::RFC822Name(text) => (2, *text),
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => continue,
        };
        if alternative.is_none_or(|(best, _)| rank < best) {
            alternative = Some((rank, text));
        }
    }
    let name = alternative
        .map(|(_, text)| text.to_owned())
        .or_else(common)?;
    is_name(&name).then_some(name)
}

/// Returns true if a text can be the name of a principal: 1 to 256 bytes without control
/// characters.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn principal(common: Option<&str>, names: Vec<SanType>) -> Principal {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Principal::of_certificate(certificate.der(), IpAddr::from([10, 0, 0, 5]))
    }

    #[test]
    fn a_certificate_names_its_holder_by_dns_uri_mail_or_common_name_in_this_order() {
        let dns = || SanType::DnsName("proxy-1.example.org".try_into().expect("a name"));
        let uri = || SanType::URI("spiffe://example.org/orders".try_into().expect("a URI"));
        let mail = || SanType::Rfc822Name("alice@example.org".try_into().expect("an address"));
        for (common, names, expected) in [
            (
                Some("alice"),
                vec![mail(), uri(), dns()],
                "proxy-1.example.org",
            ),
            (
                Some("alice"),
                vec![mail(), uri()],
                "spiffe://example.org/orders",
            ),
            (Some("alice"), vec![mail()], "alice@example.org"),
            (Some("alice"), vec![], "alice"),
            (
                Some("bob"),
                vec![SanType::IpAddress(IpAddr::from([10, 0, 0, 5]))],
                "bob",
            ),
        ] {
            let found = principal(common, names);
            assert_eq!(found.name(), Some(expected));
            assert_eq!(found.how(), Authentication::Certificate);
        }
    }

    #[test]
    fn a_certificate_without_a_usable_name_names_nobody() {
        for common in [None, Some("a\nb"), Some("x".repeat(257).as_str())] {
            let found = principal(common, Vec::new());
            assert_eq!(found.to_string(), "an anonymous client", "{common:?}");
        }
        let garbage = Principal::of_certificate(b"no certificate", IpAddr::from([127, 0, 0, 1]));
        assert_eq!(garbage.to_string(), "a client of this machine");
    }
}
