//! Compares the ledgers of a cluster with those that the logs of a namespace name.

use std::collections::BTreeMap;

use distributedlog_bookkeeper::LedgerId;
use distributedlog_bookkeeper::driver::LedgerError;
use distributedlog_bookkeeper::namespace::nodes::LogError;
use distributedlog_bookkeeper::zookeeper::{ZooKeeper, ZooKeeperError};
use serde::Serialize;

use super::ledgers::found;
use super::{FoundLedger, Operator, of_ledger, of_stream, unreachable};
use crate::{StoreError, StreamName};

/// Ledgers that are listed with one call.
const PAGE: usize = 4096;

/// Maximum ledgers of a cluster, and names of a namespace: 256 MiB.
const MAX_LEDGERS: usize = 1 << 24;

/// Part of the name of a pool of ledgers that Java's proxies allocate in advance.
const POOL: &str = "allocation_pool";

/// Maximum nodes of a pool.
const MAX_POOL_NODES: usize = 1 << 16;

/// A ledger that no log names.
pub type AuditedLedger = FoundLedger;

/// A ledger that a log names and the cluster does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingLedger {
    /// The stream.
    pub stream: String,
    /// The ledger.
    pub ledger: LedgerId,
}

/// Result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Audit {
    /// Streams of the namespace.
    pub streams: usize,
    /// Ledgers of the cluster.
    pub ledgers: usize,
    /// Ledgers that logs or pools of the namespace name.
    pub named: usize,
    /// Ledgers that no log of the namespace names. Other namespaces and applications may use them.
    pub unnamed: Vec<AuditedLedger>,
    /// Ledgers that logs name and that do not exist.
    pub missing: Vec<MissingLedger>,
}

impl<Z: ZooKeeper> Operator<Z> {
    /// Compares the ledgers of the cluster with those that the logs and pools of the namespace
    /// name. `progress` gets what is done and how many of it.
    ///
    /// Ledgers that are created or deleted meanwhile are left out of the result.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the cluster cannot be reached, or has more than 16,777,216 ledgers.
    pub async fn audit(&self, mut progress: impl FnMut(&str, usize)) -> Result<Audit, StoreError> {
        // The cluster's ledgers first: one that is named later was created later.
        let ledgers = self.all_ledgers(&mut progress).await?;
        let streams = self.streams().await?;
        let named = self.named(&streams, &mut progress).await?;
        let mut audit = Audit {
            streams: streams.len(),
            ledgers: ledgers.len(),
            named: named.len(),
            ..Audit::default()
        };
        let mut unnamed: Vec<LedgerId> = ledgers.clone();
        unnamed.retain(|ledger| !named.contains_key(ledger));
        if !unnamed.is_empty() {
            // Those that a writer had just created are named by now.
            let again = self.named(&self.streams().await?, &mut progress).await?;
            unnamed.retain(|ledger| !again.contains_key(ledger));
        }
        for (done, ledger) in unnamed.into_iter().enumerate() {
            progress("ledgers that no log names", done + 1);
            match self.cluster.client.metadata(ledger).await {
                Ok(stored) => audit.unnamed.push(found(ledger, &stored.metadata)),
                Err(LedgerError::NotFound(_)) => {}
                Err(error) => return Err(of_ledger(ledger, &error)),
            }
        }
        let missing = named
            .iter()
            .filter(|(ledger, _)| ledgers.binary_search(ledger).is_err());
        for (ledger, stream) in missing {
            if self.is_missing(*ledger, *stream, &streams).await?
                && let Some(stream) = stream.and_then(|it| streams.get(it))
            {
                audit.missing.push(MissingLedger {
                    stream: stream.to_string(),
                    ledger: *ledger,
                });
            }
        }
        Ok(audit)
    }

    /// Returns true if a stream still names a ledger that does not exist.
    async fn is_missing(
        &self,
        ledger: LedgerId,
        stream: Option<usize>,
        streams: &[StreamName],
    ) -> Result<bool, StoreError> {
        let Some(stream) = stream.and_then(|it| streams.get(it)) else {
            return Ok(false);
        };
        match self.cluster.client.metadata(ledger).await {
            Ok(_) => return Ok(false),
            Err(LedgerError::NotFound(_)) => {}
            Err(error) => return Err(of_ledger(ledger, &error)),
        }
        match self.segments_of_ledger(stream, ledger).await {
            Ok(segments) => Ok(!segments.is_empty()),
            Err(StoreError::StreamNotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists the ledgers of the cluster, sorted.
    async fn all_ledgers(
        &self,
        progress: &mut impl FnMut(&str, usize),
    ) -> Result<Vec<LedgerId>, StoreError> {
        let cluster = self.ledgers().await?;
        let mut all: Vec<LedgerId> = Vec::new();
        loop {
            let page = cluster.list(all.last().copied(), PAGE).await;
            let page = page.map_err(|error| unreachable(&self.ledgers_root, &error))?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
            self.check_count(all.len())?;
            progress("ledgers of the cluster", all.len());
        }
    }

    /// Collects the ledgers that logs name, each with the stream's index, and those of pools.
    async fn named(
        &self,
        streams: &[StreamName],
        progress: &mut impl FnMut(&str, usize),
    ) -> Result<BTreeMap<LedgerId, Option<usize>>, StoreError> {
        let mut named = BTreeMap::new();
        for (index, stream) in streams.iter().enumerate() {
            match self.log(stream)?.ledgers().await {
                Ok(ledgers) => named.extend(ledgers.into_iter().map(|it| (it, Some(index)))),
                // Deleted meanwhile.
                Err(LogError::NotFound { .. }) => {}
                Err(error) => return Err(of_stream(stream, error)),
            }
            self.check_count(named.len())?;
            progress("streams", index + 1);
        }
        for ledger in self.pooled().await? {
            named.entry(ledger).or_insert(None);
        }
        Ok(named)
    }

    /// Collects the ledgers of pools, which Java's proxies allocate in advance.
    async fn pooled(&self) -> Result<Vec<LedgerId>, StoreError> {
        let (session, root) = (self.sessions.current(), self.namespace.root());
        let mut nodes = vec![root.to_owned()];
        let mut ledgers = Vec::new();
        let mut next = 0;
        while let Some(node) = nodes.get(next).cloned() {
            next += 1;
            let names = match session.children(&node).await {
                Ok((names, _)) => names,
                Err(ZooKeeperError::NoNode) => continue,
                Err(error) => return Err(unreachable(&node, &error)),
            };
            let is_root = node == root;
            let names = names.iter().filter(|it| !is_root || is_pool(it));
            nodes.extend(names.map(|name| format!("{node}/{name}")));
            if nodes.len() > MAX_POOL_NODES {
                let detail = format!("a pool of ledgers has more than {MAX_POOL_NODES} nodes");
                return Err(unreachable(root, &detail));
            }
            if is_root {
                continue;
            }
            match session.get(&node).await {
                Ok((data, _)) => ledgers.extend(String::from_utf8_lossy(&data).parse::<i64>()),
                Err(ZooKeeperError::NoNode) => {}
                Err(error) => return Err(unreachable(&node, &error)),
            }
        }
        Ok(ledgers)
    }

    fn check_count(&self, count: usize) -> Result<(), StoreError> {
        if count > MAX_LEDGERS {
            let detail = format!("an audit takes at most {MAX_LEDGERS} ledgers");
            return Err(unreachable(self.namespace.root(), &detail));
        }
        Ok(())
    }
}

fn is_pool(name: &str) -> bool {
    name.starts_with('.') && name.contains(POOL)
}
