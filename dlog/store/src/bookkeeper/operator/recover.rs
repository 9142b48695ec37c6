//! Completes what a writer left in progress.

use distributedlog_bookkeeper::namespace::nodes::{Acquired, WriteLock};
use distributedlog_bookkeeper::namespace::{SegmentState, StoredSegment};
use distributedlog_bookkeeper::zookeeper::ZooKeeper;

use super::super::log::Log;
use super::{Operator, of_stream};
use crate::{StoreError, StreamName};

/// Client id under which a log is recovered.
const CLIENT_ID: &str = "dlog-tool-recover";

/// Result of a recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Another client owns the stream, and completes its log segments itself. Nothing was changed.
    OwnedBy {
        /// Its client id.
        client_id: String,
    },
    /// No log segment is in progress any more.
    Done {
        /// Sequence numbers and records of the log segments that were completed.
        completed: Vec<(i64, u64)>,
        /// Sequence numbers of the log segments that were deleted, because they held nothing.
        deleted: Vec<i64>,
    },
}

impl<Z: ZooKeeper> Operator<Z> {
    /// Completes the log segments of a stream that its writer left in progress, under its write
    /// lock. The stream's next owner would do the same.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the stream does not exist, or too few bookies or no server of ZooKeeper
    /// can be reached; the call can be repeated.
    pub async fn recover(&self, stream: &StreamName) -> Result<Recovery, StoreError> {
        let failed = |error| of_stream(stream, error);
        let session = self.sessions.current();
        let number = session.session();
        let namespace = self.namespace.in_session(session);
        let nodes = namespace.log(stream.as_str()).map_err(failed)?;
        if !nodes.exists().await.map_err(failed)? {
            return Err(StoreError::StreamNotFound(stream.clone()));
        }
        let write_lock = WriteLock::new(nodes.clone(), CLIENT_ID.to_owned());
        let lock = match write_lock.acquire().await.map_err(failed)? {
            Acquired::Held(lock) => lock,
            Acquired::OwnedBy(owner) => {
                let client_id = owner.client_id;
                return Ok(Recovery::OwnedBy { client_id });
            }
            Acquired::OwnSession { .. } => {
                let client_id = format!("another {CLIENT_ID}");
                return Ok(Recovery::OwnedBy { client_id });
            }
        };
        let before = nodes.segments().await.map_err(failed);
        let recovered = async {
            let before = before?.segments;
            let (cluster, first) = (self.cluster.clone(), self.first_sequence_number);
            let log = Log::read(
                cluster,
                nodes.clone(),
                write_lock,
                lock.clone(),
                number,
                first,
            );
            let log = log.await.map_err(|error| error.of(stream))?;
            log.recover(None).await.map_err(|error| error.of(stream))?;
            let after = nodes.segments().await.map_err(failed)?.segments;
            Ok(difference(&before, &after))
        };
        let recovered = recovered.await;
        // A lock that nobody uses must not keep others out.
        if let Err(error) = lock.release().await {
            tracing::warn!(%stream, %error, "a write lock is left to its session");
        }
        recovered
    }
}

fn difference(before: &[StoredSegment], after: &[StoredSegment]) -> Recovery {
    let (mut completed, mut deleted) = (Vec::new(), Vec::new());
    let was_in_progress = before
        .iter()
        .filter(|it| it.segment.state == SegmentState::InProgress);
    for number in was_in_progress.map(|it| it.segment.sequence_number) {
        let now = after.iter().find(|it| it.segment.sequence_number == number);
        match now.map(|it| it.segment.state) {
            Some(SegmentState::Completed(end)) => {
                completed.push((number, u64::try_from(end.record_count).unwrap_or(0)));
            }
            Some(SegmentState::InProgress) => {}
            None => deleted.push(number),
        }
    }
    Recovery::Done { completed, deleted }
}
