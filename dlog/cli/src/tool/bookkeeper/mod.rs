//! Commands for namespaces on BookKeeper alone.

pub(super) mod audit;
pub(super) mod inspect;
pub(super) mod ledgers;
pub(super) mod recover;

use super::super::CliError;
use super::super::administer::{ShownLedger, ShownLedgers, Truncated};
use super::super::namespace::{self, StoreSecurityArgs};
use distributedlog_store::StreamName;
use distributedlog_store::bookkeeper::BookKeeperSettings;
use distributedlog_store::bookkeeper::operator::SegmentTruncation;
use distributedlog_store::bookkeeper::operator::{ClusterOperator, Operator};
use distributedlog_store::remote::{RemoteStore, is_zookeeper};
use distributedlog_store::uri::{Backend, Uri};

/// Connects to the cluster behind `uri`.
///
/// # Errors
/// It cannot be reached, or `uri` names a store without ledgers.
pub(super) async fn operator(uri: &Uri) -> Result<ClusterOperator, CliError> {
    if uri.backend() == Backend::BookKeeper || is_zookeeper(uri.hosts()).await {
        let connected = Operator::connect(uri, &BookKeeperSettings::default()).await;
        return connected.map_err(|error| namespace::zookeeper_error(&error, uri));
    }
    match RemoteStore::connect(uri, StoreSecurityArgs::of_environment().settings()?).await {
        Ok(_) => Err(CliError::failure(format!(
            "{uri} is a store of `dlog local`: there are no ledgers and no bookies there"
        ))),
        Err(error) => Err(namespace::uri_error(&error, uri)),
    }
}

/// Returns the ledgers of streams' log segments, or none if `uri` is not on BookKeeper.
pub(crate) async fn shown_ledgers(
    uri: &Uri,
    names: &[StreamName],
) -> Result<ShownLedgers, CliError> {
    let mut shown = ShownLedgers::new();
    if uri.backend() != Backend::BookKeeper && !is_zookeeper(uri.hosts()).await {
        return Ok(shown);
    }
    let operator = operator(uri).await?;
    for name in names {
        let segments = operator.segments(name).await;
        let segments = segments.map_err(|error| namespace::zookeeper_error(&error, uri))?;
        let segments = segments.into_iter().map(|it| ShownLedger {
            log_segment_sequence_no: it.sequence_number,
            ledger: it.ledger,
            truncated: match it.truncation {
                SegmentTruncation::Active => Truncated::No,
                SegmentTruncation::Partial => Truncated::Partly,
                SegmentTruncation::Whole => Truncated::Whole,
            },
        });
        shown.insert(name.clone(), segments.collect());
    }
    Ok(shown)
}
