//! Registrations of bookies: the nodes below `available` and `available/readonly`.

use crate::metadata::BookieId;
use crate::wire::{DecodeError, DecodeErrorKind, Fields};

/// Maximum endpoints of a registration that a decoder accepts. Bookies have one to three.
const MAX_ENDPOINTS: usize = 64;

/// A registration's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookieRegistration {
    /// Address of the protocol's port, or `None` if the data names none: bookies before 4.12
    /// register without data.
    pub rpc: Option<BookieAddress>,
}

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookieAddress {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl BookieRegistration {
    /// Decodes a registration's data, which may be empty.
    ///
    /// # Errors
    /// [`DecodeError`] if the data is neither empty nor a `BookieServiceInfoFormat`.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new("BookieServiceInfoFormat", data);
        let (mut rpc, mut endpoints) = (None, 0);
        while let Some((number, value, _)) = fields.next()? {
            if number != 6 {
                continue;
            }
            endpoints += 1;
            if endpoints > MAX_ENDPOINTS {
                let kind = DecodeErrorKind::TooMany {
                    limit: MAX_ENDPOINTS,
                };
                return Err(DecodeError::new("BookieServiceInfoFormat.endpoints", kind));
            }
            let bytes = value.bytes("BookieServiceInfoFormat.endpoints")?;
            if let Some(address) = endpoint(bytes)? {
                rpc = rpc.or(Some(address));
            }
        }
        Ok(Self { rpc })
    }
}

/// The address of an endpoint, or `None` if it speaks another protocol than a bookie's.
fn endpoint(bytes: &[u8]) -> Result<Option<BookieAddress>, DecodeError> {
    let mut fields = Fields::new("Endpoint", bytes);
    let (mut port, mut host, mut protocol) = (None, None, None);
    while let Some((number, value, _)) = fields.next()? {
        match number {
            2 => port = Some(value.i64("Endpoint.port")?),
            3 => host = Some(value.text("Endpoint.host")?),
            4 => protocol = Some(value.text("Endpoint.protocol")?),
            _ => {}
        }
    }
    if protocol != Some("bookie-rpc") {
        return Ok(None);
    }
    let port = port.ok_or_else(|| DecodeError::missing("Endpoint.port"))?;
    Ok(Some(BookieAddress {
        host: host
            .ok_or_else(|| DecodeError::missing("Endpoint.host"))?
            .to_owned(),
        port: u16::try_from(port)
            .map_err(|_| DecodeError::new("Endpoint.port", DecodeErrorKind::OutOfRange(port)))?,
    }))
}

impl BookieId {
    /// Returns the address in an id of the form `host:port`, or `None` for a free text, which only
    /// the bookie's registration resolves.
    #[must_use]
    pub fn address(&self) -> Option<BookieAddress> {
        let (host, port) = self.as_str().rsplit_once(':')?;
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| BookieAddress {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_address_or_a_free_text() {
        let address = |text: &str| BookieId::new(text).address().map(|it| (it.host, it.port));
        assert_eq!(
            address("10.0.0.1:3181"),
            Some(("10.0.0.1".to_owned(), 3181))
        );
        assert_eq!(address("bookie-7"), None);
        assert_eq!(address(":3181"), None);
        assert_eq!(address("host:99999"), None);
    }

    #[test]
    fn a_registration_without_data_names_no_address() {
        assert_eq!(
            BookieRegistration::decode(b""),
            Ok(BookieRegistration::default())
        );
    }
}
