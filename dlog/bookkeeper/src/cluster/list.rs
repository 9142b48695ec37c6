//! Ids of all ledgers, in order, in pages.

use super::error::ClusterError;
use super::ledgers::Ledgers;
use crate::LedgerId;
use crate::metadata::Layout;
use crate::zookeeper::{ZooKeeper, ZooKeeperError};

/// Digits of the folders of the levels; the last are of the ledgers' own nodes.
const FLAT: &[usize] = &[10];
const SHORT: &[usize] = &[2, 4, 4];
const LONG: &[usize] = &[3, 4, 4, 4, 4];

impl<Z: ZooKeeper> Ledgers<Z> {
    /// Returns ids of ledgers above `after`, ascending, at most `limit`. An empty page is the end.
    ///
    /// Ledgers that are created or deleted meanwhile may be there or not.
    ///
    /// # Errors
    /// [`ClusterError`] if ZooKeeper fails.
    pub async fn list(
        &self,
        after: Option<LedgerId>,
        limit: usize,
    ) -> Result<Vec<LedgerId>, ClusterError> {
        let after = after.unwrap_or(-1);
        let mut found = Vec::new();
        let trees: &[&[usize]] = match self.layout() {
            Layout::Flat => &[FLAT],
            Layout::LegacyHierarchical => &[SHORT],
            Layout::Hierarchical => &[SHORT, LONG],
            Layout::LongHierarchical => &[LONG],
        };
        for levels in trees {
            self.walk(levels, after, limit, &mut found).await?;
        }
        Ok(found)
    }

    /// Walks a tree in the order of its ids.
    async fn walk(
        &self,
        levels: &[usize],
        after: LedgerId,
        limit: usize,
        found: &mut Vec<LedgerId>,
    ) -> Result<(), ClusterError> {
        // Folders to read, the next one last: path, digits above it, and its level.
        let mut folders = vec![(self.root().to_owned(), String::new(), 0)];
        // Bounded: folders are in order, and those below `after` are skipped unread.
        while let Some((path, above, level)) = folders.pop() {
            if found.len() >= limit {
                return Ok(());
            }
            let names = match self.zookeeper().children(&path).await {
                Ok((names, _)) => names,
                Err(ZooKeeperError::NoNode) => continue,
                Err(error) => return Err(ClusterError::zookeeper(&path, error)),
            };
            let is_last = level + 1 == levels.len();
            let width = levels[level];
            if is_last {
                let ids = names
                    .iter()
                    .filter_map(|name| ledger_id(&above, name, width));
                let mut ids: Vec<LedgerId> = ids.filter(|id| *id > after).collect();
                ids.sort_unstable();
                ids.truncate(limit - found.len());
                found.append(&mut ids);
                continue;
            }
            let mut below: Vec<&String> = names
                .iter()
                .filter(|name| name.len() == width && is_number(name))
                .collect();
            below.sort_unstable();
            for name in below.into_iter().rev() {
                let digits = format!("{above}{name}");
                let rest: usize = levels[level + 1..].iter().sum();
                if last_id(&digits, rest) > after {
                    folders.push((format!("{path}/{name}"), digits, level + 1));
                }
            }
        }
        Ok(())
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the id of a ledger's node, or `None` for another node.
fn ledger_id(above: &str, name: &str, width: usize) -> Option<LedgerId> {
    let digits = name.strip_prefix('L')?;
    // Ids of a flat layout can have more digits than it pads to.
    let fits = digits.len() == width || (above.is_empty() && digits.len() > width);
    if !fits || !is_number(digits) {
        return None;
    }
    format!("{above}{digits}").parse().ok()
}

/// Returns the largest id that begins with these digits.
fn last_id(digits: &str, rest: usize) -> LedgerId {
    let nines = "9".repeat(rest);
    // Digits that are no id sort behind all.
    format!("{digits}{nines}").parse().unwrap_or(LedgerId::MAX)
}
