//! The committer's view of the streams, with the changes of the batch that is being assembled: one
//! sync ahead of the readers' view.

use core::time::Duration;

use distributedlog::Dlsn;

use super::change::Change;
use super::frame::EntryKey;
use super::state::StoreState;
use super::stream::{StreamMeta, position};
use crate::hash::KeyedMap;
use crate::{Acquired, Lease, Owner, Retention, StoreError, StreamName};

/// Limits beyond which the next append completes the open log segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentLimits {
    pub(super) bytes: u64,
    pub(super) age: Duration,
    /// Retention of streams and namespaces without one of their own.
    pub(super) retention: Retention,
}

/// Limits beyond which the creation of a stream is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct CreationLimits {
    pub(super) streams: u64,
    pub(super) per_second: u32,
}

/// The rate of creations: a token bucket that holds those of one second, and is full at first.
#[derive(Debug, Default)]
pub(super) struct CreationRate {
    /// Creations that were allowed and not paid for by time yet, in thousandths.
    debt: u64,
    counted_ms: u64,
}

impl CreationRate {
    /// Counts one creation. Returns false if the rate does not allow it yet.
    fn take(&mut self, per_second: u32, unix_ms: u64) -> bool {
        let elapsed = unix_ms.saturating_sub(self.counted_ms).min(1000);
        self.counted_ms = self.counted_ms.max(unix_ms);
        self.debt = self.debt.saturating_sub(u64::from(per_second) * elapsed);
        let allowed = self.debt + 1000 <= u64::from(per_second) * 1000;
        self.debt += if allowed { 1000 } else { 0 };
        allowed
    }
}

/// The streams that the committer has used, as they will be when everything staged is durable.
///
/// After a failed batch, [`clear`](Self::clear) discards everything: the durable state is in the
/// [`StoreState`].
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// `None`: deleted by the batch that is being assembled.
    names: KeyedMap<StreamName, Option<StagedStream>>,
    deleted: bool,
    next_stream: Option<u64>,
    next_epoch: Option<u64>,
    /// Number of streams once everything staged is durable. `None`: that of the state.
    stream_count: Option<u64>,
    /// The namespace's retention. `None`: that of the state.
    namespace_retention: Option<Option<Retention>>,
}

#[derive(Debug)]
struct StagedStream {
    id: u64,
    created_unix_ms: u64,
    owner: Option<Owner>,
    epoch: u64,
    truncated_before: Option<Dlsn>,
    next_lssn: u64,
    open: Option<OpenSegment>,
    retention: Option<Retention>,
}

#[derive(Clone, Copy, Debug)]
struct OpenSegment {
    lssn: u64,
    next_entry: u64,
    payload_bytes: u64,
    opened_unix_ms: u64,
}

impl Staging {
    /// Discards everything staged.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Everything staged is durable now, and the [`StoreState`] contains it.
    pub(super) fn settle(&mut self) {
        self.stream_count = None;
        if core::mem::take(&mut self.deleted) {
            self.names.retain(|_, staged| staged.is_some());
        }
    }

    fn stream(
        &mut self,
        state: &StoreState,
        name: &StreamName,
    ) -> Result<&mut StagedStream, StoreError> {
        if !self.names.contains_key(name)
            && let Some(stream) = state.named(name)
        {
            self.names
                .insert(name.clone(), Some(StagedStream::new(&stream.meta)));
        }
        // Names that do not exist are not cached: callers may use any number of them, and the map
        // would grow without bound.
        self.names
            .get_mut(name)
            .and_then(Option::as_mut)
            .ok_or_else(|| StoreError::StreamNotFound(name.clone()))
    }

    /// Stages the creation of a stream.
    pub(super) fn create(
        &mut self,
        state: &StoreState,
        name: &StreamName,
        unix_ms: u64,
        limits: CreationLimits,
        rate: &mut CreationRate,
    ) -> Result<Change, StoreError> {
        if self.stream(state, name).is_ok() {
            return Err(StoreError::StreamExists(name.clone()));
        }
        let count = self.stream_count.unwrap_or_else(|| state.stream_count());
        if count >= limits.streams {
            let limit = limits.streams;
            return Err(StoreError::TooManyStreams { limit });
        }
        let per_second = limits.per_second;
        if !rate.take(per_second, unix_ms) {
            return Err(StoreError::TooManyCreations { per_second });
        }
        self.stream_count = Some(count + 1);
        let stream = self.next_stream.unwrap_or(state.next_stream);
        self.names.insert(
            name.clone(),
            Some(StagedStream::new(&StreamMeta::new(
                stream,
                name.clone(),
                unix_ms,
            ))),
        );
        self.next_stream = Some(stream + 1);
        Ok(Change::Create {
            stream,
            name: name.clone(),
        })
    }

    /// Stages a deletion. Returns the change and the stream's time of creation.
    pub(super) fn delete(
        &mut self,
        state: &StoreState,
        name: &StreamName,
    ) -> Result<(Change, u64), StoreError> {
        let staged = self.stream(state, name)?;
        let (stream, created_unix_ms) = (staged.id, staged.created_unix_ms);
        let count = self.stream_count.unwrap_or_else(|| state.stream_count());
        self.stream_count = Some(count.saturating_sub(1));
        self.names.insert(name.clone(), None);
        self.deleted = true;
        Ok((Change::Delete { stream }, created_unix_ms))
    }

    /// Stages a truncation. Returns `None` if everything before `before` was truncated already.
    pub(super) fn truncate(
        &mut self,
        state: &StoreState,
        name: &StreamName,
        before: Dlsn,
    ) -> Result<Option<Change>, StoreError> {
        let staged = self.stream(state, name)?;
        let end = staged.open.map_or_else(
            || position(staged.next_lssn, 0, 0),
            |open| position(open.lssn, open.next_entry, 0),
        );
        // A point beyond the end means the end: entries that are appended later stay.
        let before = before.min(end);
        if before <= staged.truncated_before.unwrap_or(Dlsn::INITIAL) {
            return Ok(None);
        }
        staged.truncated_before = Some(before);
        Ok(Some(Change::Truncate {
            stream: staged.id,
            before,
        }))
    }

    /// Stages the retention of a stream, or of the namespace.
    pub(super) fn retain(
        &mut self,
        state: &StoreState,
        name: Option<&StreamName>,
        retention: Option<Retention>,
    ) -> Result<Change, StoreError> {
        let stream = match name {
            Some(name) => {
                let staged = self.stream(state, name)?;
                staged.retention = retention;
                staged.id
            }
            None => {
                self.namespace_retention = Some(retention);
                0
            }
        };
        Ok(Change::Retain { stream, retention })
    }

    /// Stages a truncation that retention makes. Returns `None` if the stream was deleted and
    /// another has its name, or everything before `before` was truncated already.
    pub(super) fn expire(
        &mut self,
        state: &StoreState,
        name: &StreamName,
        id: u64,
        before: Dlsn,
    ) -> Result<Option<Change>, StoreError> {
        if self.stream(state, name)?.id != id {
            return Ok(None);
        }
        self.truncate(state, name, before)
    }

    /// Stages an acquisition. The change is `None` for [`Acquired::OwnedBy`].
    pub(super) fn acquire(
        &mut self,
        state: &StoreState,
        name: &StreamName,
        owner: &Owner,
    ) -> Result<(Acquired, Option<Change>), StoreError> {
        let epoch = self.next_epoch.unwrap_or(state.next_epoch);
        let staged = self.stream(state, name)?;
        if let Some(other) = staged.owner.as_ref().filter(|other| *other != owner) {
            return Ok((Acquired::OwnedBy(other.clone()), None));
        }
        staged.owner = Some(owner.clone());
        staged.epoch = epoch;
        staged.open = None;
        let change = Change::Acquire {
            stream: staged.id,
            epoch,
            owner: owner.clone(),
        };
        self.next_epoch = Some(epoch + 1);
        Ok((
            Acquired::Granted(Lease {
                stream: name.clone(),
                epoch,
            }),
            Some(change),
        ))
    }

    /// Stages a release. Returns `None` if the lease is not the current one: there is nothing to
    /// release.
    pub(super) fn release(&mut self, state: &StoreState, lease: &Lease) -> Option<Change> {
        let staged = self.stream(state, &lease.stream).ok()?;
        if staged.owner.is_none() || staged.epoch != lease.epoch {
            return None;
        }
        staged.owner = None;
        staged.open = None;
        Some(Change::Release { stream: staged.id })
    }

    /// Stages an entry. Returns its position in the stream, in a new log segment if there is no
    /// open one or the open one is full or too old.
    pub(super) fn append(
        &mut self,
        state: &StoreState,
        lease: &Lease,
        payload_bytes: u64,
        unix_ms: u64,
        limits: SegmentLimits,
    ) -> Result<EntryKey, StoreError> {
        let fenced = || StoreError::Fenced(lease.stream.clone());
        let namespace = self.namespace_retention.unwrap_or(state.retention);
        let staged = self.stream(state, &lease.stream).map_err(|_| fenced())?;
        if staged.owner.is_none() || staged.epoch != lease.epoch {
            return Err(fenced());
        }
        // Only whole log segments are discarded, so they must be smaller than what is kept.
        let retention = staged.retention.or(namespace).unwrap_or(limits.retention);
        let age = retention.segment_age(limits.age);
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let bytes = retention.segment_bytes(limits.bytes);
        let full = |open: &OpenSegment| {
            open.payload_bytes >= bytes || unix_ms.saturating_sub(open.opened_unix_ms) >= age_ms
        };
        let mut open = match staged.open.filter(|open| !full(open)) {
            Some(open) => open,
            None => {
                let lssn = staged.next_lssn;
                staged.next_lssn += 1;
                OpenSegment {
                    lssn,
                    next_entry: 0,
                    payload_bytes: 0,
                    opened_unix_ms: unix_ms,
                }
            }
        };
        let key = EntryKey {
            stream: staged.id,
            lssn: open.lssn,
            entry: open.next_entry,
        };
        open.next_entry += 1;
        open.payload_bytes += payload_bytes;
        staged.open = Some(open);
        Ok(key)
    }
}

impl StagedStream {
    fn new(meta: &StreamMeta) -> Self {
        let open = meta.open_segment().map(|segment| OpenSegment {
            lssn: segment.lssn,
            next_entry: segment.next_entry,
            payload_bytes: segment.payload_bytes,
            opened_unix_ms: segment.first_unix_ms,
        });
        Self {
            id: meta.id,
            created_unix_ms: meta.created_unix_ms,
            owner: meta.owner.clone(),
            epoch: meta.epoch,
            truncated_before: meta.truncated_before,
            next_lssn: meta.next_lssn,
            open,
            retention: meta.retention,
        }
    }
}
