//! Names of logs, and the paths of their nodes.

use core::fmt;

/// Partition of every log, which DistributedLog calls the unpartitioned stream's name.
pub const DEFAULT_PARTITION: &str = "<default>";

/// Maximum bytes of a log's name.
pub const MAX_NAME_BYTES: usize = 1_024;

/// Reason for which a text is no log's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty, or one of its parts between slashes.
    Empty,
    /// The name begins with a dot or `<`, or is one of a log's own nodes.
    Reserved,
    /// A part is `.` or `..`.
    Relative,
    /// The character is not allowed.
    Character(char),
    /// The name is longer than [`MAX_NAME_BYTES`].
    TooLong,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the log's name, or a part of it, is empty"),
            Self::Reserved => f.write_str("names that begin with '.' or '<' are reserved"),
            Self::Relative => f.write_str("a part of the log's name is '.' or '..'"),
            Self::Character(char) => write!(f, "the log's name has the character {char:?}"),
            Self::TooLong => write!(f, "the log's name has more than {MAX_NAME_BYTES} bytes"),
        }
    }
}

impl core::error::Error for NameError {}

/// Returns true if a child of a namespace's root is not a log, nor a folder of logs.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(['.', '<'])
}

/// Checks a log's name and returns it without a slash at its beginning. Slashes inside separate
/// folders.
///
/// # Errors
/// [`NameError`] for names that DistributedLog refuses.
pub fn check_name(name: &str) -> Result<&str, NameError> {
    if is_reserved(name) {
        return Err(NameError::Reserved);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong);
    }
    let name = name.strip_prefix('/').unwrap_or(name);
    if let Some(char) = name.chars().find(|char| !is_allowed(*char)) {
        return Err(NameError::Character(char));
    }
    for part in name.split('/') {
        match part {
            "" => return Err(NameError::Empty),
            "." | ".." => return Err(NameError::Relative),
            _ => {}
        }
    }
    Ok(name)
}

const fn is_allowed(char: char) -> bool {
    !matches!(
        char,
        '\0'..='\u{1f}'
            | ' '
            | '<'
            | '>'
            | '\u{7f}'..='\u{9f}'
            // Surrogates are no characters; the private use area follows them.
            | '\u{e000}'..='\u{f8ff}'
            | '\u{fff0}'..='\u{ffff}'
    )
}

/// Paths of one log's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPaths {
    /// The log's node, above its partition.
    name: String,
    /// The partition's node.
    root: String,
}

impl LogPaths {
    /// Returns the paths of a log with a valid name, in a namespace.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        let name = check_name(name)?;
        let name = format!("{}/{name}", namespace.trim_end_matches('/'));
        let root = format!("{name}/{DEFAULT_PARTITION}");
        Ok(Self { name, root })
    }

    /// Returns the path of the log's node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the path of the partition, whose life is the log's.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Returns the path of the node whose data is the largest transaction id.
    #[must_use]
    pub fn max_txid(&self) -> String {
        self.child("maxtxid")
    }

    /// Returns the path of the node whose data is the layout's version.
    #[must_use]
    pub fn version(&self) -> String {
        self.child("version")
    }

    /// Returns the path of the write lock.
    #[must_use]
    pub fn lock(&self) -> String {
        self.child("lock")
    }

    /// Returns the path of the read lock.
    #[must_use]
    pub fn read_lock(&self) -> String {
        self.child("readLock")
    }

    /// Returns the path of the log segments.
    #[must_use]
    pub fn segments(&self) -> String {
        self.child("ledgers")
    }

    /// Returns the path of the node that names a ledger before it is a log segment's.
    #[must_use]
    pub fn allocation(&self) -> String {
        self.child("allocation")
    }

    /// Returns the path of a log segment's node.
    #[must_use]
    pub fn segment(&self, node_name: &str) -> String {
        format!("{}/ledgers/{node_name}", self.root)
    }

    fn child(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_java_does() {
        for name in ["a", "dir/inner", "basic-stream-1", "a.b", "über", "a/..b"] {
            assert_eq!(check_name(name), Ok(name));
        }
        assert_eq!(check_name("/a/b"), Ok("a/b"));
        for (name, error) in [
            ("", NameError::Empty),
            ("/", NameError::Empty),
            ("a/", NameError::Empty),
            ("a//b", NameError::Empty),
            ("//a", NameError::Empty),
            (".hidden", NameError::Reserved),
            ("<default>", NameError::Reserved),
            ("a/./b", NameError::Relative),
            ("a/..", NameError::Relative),
            ("a b", NameError::Character(' ')),
            ("a/<default>", NameError::Character('<')),
            ("a\0", NameError::Character('\0')),
            ("a\u{85}", NameError::Character('\u{85}')),
            ("a\u{e123}", NameError::Character('\u{e123}')),
        ] {
            assert_eq!(check_name(name), Err(error), "{name:?}");
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        assert_eq!(check_name(&long), Err(NameError::TooLong));
    }

    #[test]
    fn a_logs_nodes_lie_below_its_partition() {
        let paths = LogPaths::new("/messaging/dl/", "dir/inner").expect("a name");
        assert_eq!(paths.name(), "/messaging/dl/dir/inner");
        assert_eq!(
            paths.max_txid(),
            "/messaging/dl/dir/inner/<default>/maxtxid"
        );
        assert_eq!(
            paths.segment("inprogress_000000000000000001"),
            "/messaging/dl/dir/inner/<default>/ledgers/inprogress_000000000000000001"
        );
    }
}
