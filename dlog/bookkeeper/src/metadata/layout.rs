use core::fmt;

use crate::LedgerId;

/// Arrangement of the ledgers' nodes in ZooKeeper, which the node `LAYOUT` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// All below the root: `L0000000042`. BookKeeper 4.5 formats clusters so.
    Flat,
    /// Ids up to 2^31-1 in levels of two, four and four digits, `00/0000/L0042`, and larger ones as
    /// in [`LongHierarchical`](Self::LongHierarchical). BookKeeper 4.17 formats clusters so.
    Hierarchical,
    /// As [`Hierarchical`](Self::Hierarchical) without the larger ids.
    LegacyHierarchical,
    /// In levels of three, four, four, four and four digits: `000/0000/0000/0000/L0042`.
    LongHierarchical,
}

/// A layout that this client does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutError {
    /// Text of the node `LAYOUT`.
    pub found: String,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the ledgers' layout is {:?}; known are FlatLedgerManagerFactory, \
             HierarchicalLedgerManagerFactory, LegacyHierarchicalLedgerManagerFactory and \
             LongHierarchicalLedgerManagerFactory",
            self.found
        )
    }
}

impl core::error::Error for LayoutError {}

impl Layout {
    /// Decodes the data of the node `LAYOUT`: a version, and a class of Java with its version.
    ///
    /// # Errors
    /// [`LayoutError`] with the text if it names another class.
    pub fn decode(data: &[u8]) -> Result<Self, LayoutError> {
        let text = String::from_utf8_lossy(data);
        let class = text
            .strip_prefix("2\n")
            .and_then(|rest| rest.trim_end().strip_suffix(":1"))
            .and_then(|class| class.strip_prefix("org.apache.bookkeeper.meta."));
        match class {
            Some("FlatLedgerManagerFactory") => Ok(Self::Flat),
            Some("HierarchicalLedgerManagerFactory") => Ok(Self::Hierarchical),
            Some("LegacyHierarchicalLedgerManagerFactory") => Ok(Self::LegacyHierarchical),
            Some("LongHierarchicalLedgerManagerFactory") => Ok(Self::LongHierarchical),
            Some(_) | None => Err(LayoutError {
                found: text.into_owned(),
            }),
        }
    }

    /// Returns the path of a ledger's node below the ledgers' root, without a leading slash, or
    /// `None` if the layout has no place for the id.
    #[must_use]
    pub fn path(self, ledger: LedgerId) -> Option<String> {
        if ledger < 0 {
            return None;
        }
        let short = i32::try_from(ledger).is_ok();
        match self {
            Self::Flat => Some(format!("L{ledger:010}")),
            Self::LongHierarchical => Some(long_path(ledger)),
            Self::Hierarchical if !short => Some(long_path(ledger)),
            Self::LegacyHierarchical if !short => None,
            Self::Hierarchical | Self::LegacyHierarchical => {
                let digits = format!("{ledger:010}");
                Some(format!(
                    "{}/{}/L{}",
                    &digits[..2],
                    &digits[2..6],
                    &digits[6..]
                ))
            }
        }
    }
}

fn long_path(ledger: LedgerId) -> String {
    let digits = format!("{ledger:019}");
    format!(
        "{}/{}/{}/{}/L{}",
        &digits[..3],
        &digits[3..7],
        &digits[7..11],
        &digits[11..15],
        &digits[15..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledgers_lie_where_java_puts_them() {
        let path = |layout: Layout, ledger| layout.path(ledger);
        assert_eq!(path(Layout::Flat, 5).as_deref(), Some("L0000000005"));
        assert_eq!(
            path(Layout::Flat, 40_000_000_001).as_deref(),
            Some("L40000000001")
        );
        assert_eq!(
            path(Layout::Hierarchical, 13).as_deref(),
            Some("00/0000/L0013")
        );
        assert_eq!(
            path(Layout::Hierarchical, 2_147_483_647).as_deref(),
            Some("21/4748/L3647")
        );
        assert_eq!(
            path(Layout::Hierarchical, 4_000_000_001).as_deref(),
            Some("000/0000/0040/0000/L0001")
        );
        assert_eq!(path(Layout::LegacyHierarchical, 2_147_483_648), None);
        assert_eq!(
            path(Layout::LongHierarchical, 13).as_deref(),
            Some("000/0000/0000/0000/L0013")
        );
        assert_eq!(path(Layout::Hierarchical, -1), None);
    }

    #[test]
    fn an_unknown_layout_is_refused_with_its_text() {
        let data = b"2\norg.apache.bookkeeper.meta.MSLedgerManagerFactory:1";
        let error = Layout::decode(data).expect_err("a class of HBase");
        assert!(
            error.to_string().contains("MSLedgerManagerFactory"),
            "{error}"
        );
        assert!(Layout::decode(b"").is_err());
    }
}
