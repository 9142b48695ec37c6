//! Members of a log's write lock: ephemeral nodes in the order of their numbers.

use core::fmt::Write as _;

use super::NamespaceError;

/// A member of a lock. The one with the smallest number owns the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockMember {
    /// Client id of the member, or `None` if the node's name does not have it whole: then it is the
    /// node's data.
    pub client_id: Option<String>,
    /// ZooKeeper session of the member, or `None` likewise.
    pub session: Option<i64>,
    /// Number that ZooKeeper gave to the node.
    pub number: i32,
}

impl LockMember {
    /// Returns the name of a new member's node, to which ZooKeeper adds the number.
    #[must_use]
    pub fn prefix(client_id: &str, session: i64) -> String {
        let mut name = "member_".to_owned();
        // As java.net.URLEncoder.
        for byte in client_id.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                    name.push(char::from(byte));
                }
                b' ' => name.push('+'),
                _ => write!(name, "%{byte:02X}").expect("a string takes every text"),
            }
        }
        // Java pads with blanks to ten.
        write!(name, "_s{session:10}_").expect("a string takes every text");
        name
    }

    /// Decodes the name of a member's node.
    ///
    /// # Errors
    /// [`NamespaceError::LockMember`] if the name does not end with a number.
    pub fn decode(name: &str) -> Result<Self, NamespaceError> {
        let (head, number) = name.rsplit_once('_').ok_or(NamespaceError::LockMember)?;
        let number = number.parse().map_err(|_| NamespaceError::LockMember)?;
        let mut parts = head.split('_');
        let names = (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some("member"), Some(id), Some(session), None) = names else {
            return Ok(Self {
                client_id: None,
                session: None,
                number,
            });
        };
        let session = session
            .strip_prefix('s')
            .and_then(|digits| digits.trim().parse().ok());
        // A client id with an underscore falls apart: its owner is known by the node's data.
        let client_id = session.and_then(|_: i64| unquote(id));
        Ok(Self {
            session: client_id.is_some().then_some(session).flatten(),
            client_id,
            number,
        })
    }
}

fn unquote(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_id_goes_through_the_name_of_its_node() {
        let id = "1;0;10.0.0.1:8000";
        let name = LockMember::prefix(id, 72_057_840_217_292_807) + "0000000003";
        assert_eq!(
            name,
            "member_1%3B0%3B10.0.0.1%3A8000_s72057840217292807_0000000003"
        );
        let member = LockMember::decode(&name).expect("our own name");
        assert_eq!(member.client_id.as_deref(), Some(id));
        assert_eq!(
            (member.session, member.number),
            (Some(72_057_840_217_292_807), 3)
        );
    }

    #[test]
    fn a_short_session_is_padded_with_blanks_as_java_does() {
        let name = LockMember::prefix("a", 7) + "0000000000";
        assert_eq!(name, "member_a_s         7_0000000000");
        assert_eq!(LockMember::decode(&name).expect("valid").session, Some(7));
    }

    #[test]
    fn an_id_with_an_underscore_is_left_to_the_nodes_data() {
        let name = LockMember::prefix("my_client", 7) + "0000000012";
        let member = LockMember::decode(&name).expect("valid");
        assert_eq!(
            (member.client_id, member.session, member.number),
            (None, None, 12)
        );
        assert_eq!(
            LockMember::decode("member"),
            Err(NamespaceError::LockMember)
        );
    }
}
