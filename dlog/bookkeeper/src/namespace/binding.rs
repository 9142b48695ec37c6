//! The namespace's binding: the data of its root node, which names the ledgers' cluster.

use core::fmt::{self, Write as _};

use serde_json::Value;

/// First line: version of the format. Second line: kind of store.
const HEAD: [&str; 2] = ["1", "BKDL"];

/// Binding of a namespace to a BookKeeper cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// ZooKeeper servers of the ledgers' cluster, `host:port,host:port`.
    pub bookkeeper_servers: String,
    /// Root of the ledgers' cluster, for instance `/ledgers`.
    pub ledgers: String,
    /// True if writers refuse a transaction id below the log's largest.
    pub check_txids: bool,
    /// True if log segments name the region of their writer.
    pub encode_region: bool,
    /// As `bookkeeper_servers`, for readers; `None` for the same.
    pub bookkeeper_servers_for_readers: Option<String>,
    /// ZooKeeper servers of the namespace, for writers; `None` for those of its URI.
    pub servers: Option<String>,
    /// As `servers`, for readers; `None` for the same.
    pub servers_for_readers: Option<String>,
    /// Path of access control lists, which only Java's proxies read.
    pub acl_root: Option<String>,
    /// Sequence number of a log's first segment; `None` for 1.
    pub first_sequence_number: Option<i64>,
}

/// Data of a root node that is no binding that this client can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindingError {
    /// The node has no data: the namespace is not bound.
    Unbound,
    /// The first lines name another version or kind of store.
    Kind(String),
    /// The rest is not JSON of the expected form.
    Syntax,
    /// A required field is missing.
    Missing(&'static str),
    /// A field has another type.
    Type(&'static str),
    /// The namespace is federated: its logs lie elsewhere.
    Federated,
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbound => f.write_str("the namespace is not bound to a BookKeeper cluster"),
            Self::Kind(found) => write!(f, "the namespace is bound as {found:?}, not as BKDL"),
            Self::Syntax => f.write_str("the namespace's binding is not JSON"),
            Self::Missing(field) => write!(f, "the namespace's binding has no {field}"),
            Self::Type(field) => write!(f, "the binding's field {field} has another type"),
            Self::Federated => f.write_str("federated namespaces are not supported"),
        }
    }
}

impl core::error::Error for BindingError {}

impl Binding {
    /// Returns the binding that DistributedLog 4.17 writes for a namespace whose ledgers are in the
    /// same ensemble.
    #[must_use]
    pub fn new(servers: &str, ledgers: &str) -> Self {
        let servers = servers.replace(';', ",");
        Self {
            bookkeeper_servers: servers.clone(),
            ledgers: ledgers.to_owned(),
            check_txids: true,
            encode_region: false,
            bookkeeper_servers_for_readers: Some(servers.clone()),
            servers: Some(servers.clone()),
            servers_for_readers: Some(servers),
            acl_root: None,
            first_sequence_number: None,
        }
    }

    /// Decodes the data of a namespace's root node. Lists of servers may be separated by semicolons
    /// in it; here they are by commas.
    ///
    /// # Errors
    /// [`BindingError`].
    pub fn decode(data: &[u8]) -> Result<Self, BindingError> {
        if data.is_empty() {
            return Err(BindingError::Unbound);
        }
        let text = core::str::from_utf8(data).map_err(|_| BindingError::Syntax)?;
        let mut lines = text.split('\n');
        let head = [lines.next().unwrap_or(""), lines.next().unwrap_or("")];
        if head != HEAD {
            return Err(BindingError::Kind(head.join(" ")));
        }
        let json: String = lines.collect();
        let fields: Value = serde_json::from_str(&json).map_err(|_| BindingError::Syntax)?;
        let fields = fields.as_object().ok_or(BindingError::Syntax)?;
        // Each field is `"id":{"type":value}`; those of other ids are skipped.
        let field = |id: &str, kind: &str, name| match fields.get(id) {
            None => Ok(None),
            Some(value) => value.get(kind).map(Some).ok_or(BindingError::Type(name)),
        };
        let text = |id: &str, name| match field(id, "str", name)? {
            None => Ok(None),
            Some(value) => {
                let text = value.as_str().ok_or(BindingError::Type(name))?;
                Ok(Some(text.to_owned()))
            }
        };
        let servers = |id: &str, name| Ok(text(id, name)?.map(|it| it.replace(';', ",")));
        let number = |id: &str, kind: &str, name| match field(id, kind, name)? {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or(BindingError::Type(name)),
        };
        let is_set = |id: &str, name| Ok(number(id, "tf", name)?.map(|it| it != 0));
        if is_set("10", "federatedNamespace")?.unwrap_or(false) {
            return Err(BindingError::Federated);
        }
        Ok(Self {
            bookkeeper_servers: servers("1", "bkZkServers")?
                .ok_or(BindingError::Missing("bkZkServers"))?,
            ledgers: text("2", "bkLedgersPath")?.ok_or(BindingError::Missing("bkLedgersPath"))?,
            check_txids: is_set("3", "sanityCheckTxnID")?.unwrap_or(true),
            encode_region: is_set("4", "encodeRegionID")?.unwrap_or(false),
            bookkeeper_servers_for_readers: servers("5", "bkZkServersForReader")?,
            servers: servers("6", "dlZkServersForWriter")?,
            servers_for_readers: servers("7", "dlZkServersForReader")?,
            acl_root: text("8", "aclRootPath")?,
            first_sequence_number: number("9", "i64", "firstLogSegmentSeqNo")?,
        })
    }

    /// Encodes the data of the root node.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut fields = Vec::new();
        let mut put = |id: u32, kind: &str, value: Value| {
            fields.push(format!("\"{id}\":{{\"{kind}\":{value}}}"));
        };
        let text = |value: &String| Value::from(value.as_str());
        put(1, "str", text(&self.bookkeeper_servers));
        put(2, "str", text(&self.ledgers));
        put(3, "tf", u8::from(self.check_txids).into());
        put(4, "tf", u8::from(self.encode_region).into());
        let optional = [
            (5, &self.bookkeeper_servers_for_readers),
            (6, &self.servers),
            (7, &self.servers_for_readers),
            (8, &self.acl_root),
        ];
        for (id, value) in optional {
            if let Some(value) = value {
                put(id, "str", text(value));
            }
        }
        if let Some(number) = self.first_sequence_number {
            put(9, "i64", number.into());
        }
        let mut data = HEAD.join("\n");
        write!(data, "\n{{{}}}", fields.join(",")).expect("a string takes every text");
        data
    }

    /// Returns the sequence number of a log's first segment.
    #[must_use]
    pub fn first_sequence_number(&self) -> i64 {
        self.first_sequence_number.unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_for_fields_that_are_missing_and_other_fields_are_skipped() {
        let data =
            b"1\nBKDL\n{\"1\":{\"str\":\"a:1;b:2\"},\n\"2\":{\"str\":\"/l\"},\"77\":{\"lst\":[1]}}";
        let binding = Binding::decode(data).expect("a binding");
        assert_eq!(binding.bookkeeper_servers, "a:1,b:2");
        assert!(binding.check_txids && !binding.encode_region);
        assert_eq!(
            (binding.servers.clone(), binding.first_sequence_number()),
            (None, 1)
        );
        assert_eq!(Binding::decode(binding.encode().as_bytes()), Ok(binding));
    }

    #[test]
    fn what_is_no_binding_is_refused_with_the_reason() {
        let refused = |data: &str| Binding::decode(data.as_bytes()).expect_err("no binding");
        assert_eq!(refused(""), BindingError::Unbound);
        assert_eq!(
            refused("2\nBKDL\n{}"),
            BindingError::Kind("2 BKDL".to_owned())
        );
        assert_eq!(refused("1\nBKDL"), BindingError::Syntax);
        assert_eq!(refused("1\nBKDL\n[]"), BindingError::Syntax);
        assert_eq!(refused("1\nBKDL\n{}"), BindingError::Missing("bkZkServers"));
        let wrong = refused("1\nBKDL\n{\"1\":{\"i64\":1}}");
        assert_eq!(wrong, BindingError::Type("bkZkServers"));
        let federated = "1\nBKDL\n{\"1\":{\"str\":\"a\"},\"2\":{\"str\":\"b\"},\"10\":{\"tf\":1}}";
        assert_eq!(refused(federated), BindingError::Federated);
    }
}
