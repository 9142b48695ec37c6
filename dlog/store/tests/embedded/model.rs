//! The crash tests' model of a store: requests, acknowledgements, and the results that reads may
//! therefore have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use distributedlog::Dlsn;

use super::{ALL, Stepped, read};
use distributedlog_store::{Entry, LogStore, StoreError, StreamName};

/// Requests to the store, by stream.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) streams: BTreeMap<StreamName, StreamModel>,
}

/// Requests to one stream since it was created.
#[derive(Clone, Default)]
pub(super) struct StreamModel {
    /// `None`: a creation or a deletion was not acknowledged.
    pub(super) exists: Option<bool>,
    /// In the order of the calls.
    attempts: Vec<Attempt>,
    truncated: Point,
    /// True once a retention was requested: the store truncates by itself.
    pub(super) has_retention: bool,
    /// The farthest truncation that was requested and not acknowledged.
    maybe_truncated: Point,
}

/// A truncation point, at first the stream's beginning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point(pub(super) Dlsn);

impl Default for Point {
    fn default() -> Self {
        Self(Dlsn::INITIAL)
    }
}

#[derive(Clone)]
struct Attempt {
    entry: Entry,
    outcome: Arc<Mutex<Option<Result<Dlsn, StoreError>>>>,
}

impl Attempt {
    fn acknowledged(&self) -> Option<Dlsn> {
        self.outcome
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|outcome| outcome.as_ref().ok().copied())
    }
}

impl StreamModel {
    /// The stream was deleted.
    pub(super) fn forget(&mut self) {
        *self = Self {
            exists: Some(false),
            ..Self::default()
        };
    }

    /// Records the start of an append, and returns the cell for its outcome.
    pub(super) fn attempt(&mut self, entry: Entry) -> Arc<Mutex<Option<Result<Dlsn, StoreError>>>> {
        let outcome = Arc::default();
        self.attempts.push(Attempt {
            entry,
            outcome: Arc::clone(&outcome),
        });
        outcome
    }

    pub(super) fn acknowledged(&self) -> Vec<Dlsn> {
        self.attempts
            .iter()
            .filter_map(Attempt::acknowledged)
            .collect()
    }

    pub(super) fn begin_truncation(&mut self, before: Dlsn) {
        self.maybe_truncated = self.maybe_truncated.max(Point(before));
    }

    pub(super) fn end_truncation(&mut self, before: Dlsn) {
        self.truncated = self.truncated.max(Point(before));
    }

    /// Checks the stream's contents: every acknowledged entry at its position with its bytes, in
    /// the order of the calls, without gaps. An entry that was read is durable, so from now on it
    /// counts as acknowledged; unless the store says that its last batch is in doubt.
    fn check(&mut self, name: &StreamName, store: &Stepped, just_opened: bool) -> usize {
        let info = super::poll_once(core::pin::pin!(store.store.describe(name)));
        let core::task::Poll::Ready(Ok(info)) = info else {
            panic!("{name} cannot be described")
        };
        let truncated = info.truncated_before.unwrap_or(Dlsn::INITIAL);
        assert!(
            self.truncated.0 <= truncated,
            "{name}: a truncation was forgotten"
        );
        assert!(
            self.has_retention || truncated <= self.truncated.0.max(self.maybe_truncated.0),
            "{name}: truncated further than asked"
        );
        if just_opened {
            (self.truncated, self.maybe_truncated) = (Point(truncated), Point(truncated));
        }

        let mut cursor = Dlsn::NON_INCLUSIVE_LOWER_BOUND;
        let mut found = Vec::new();
        loop {
            // A small limit, so that there are several reads.
            let batch = read(
                &store.store,
                name,
                cursor,
                distributedlog_store::ReadLimit {
                    max_bytes: 6000,
                    ..ALL
                },
            )
            .unwrap();
            if batch.entries.is_empty() {
                break;
            }
            assert!(batch.next > cursor, "{name}: reading does not get on");
            cursor = batch.next;
            found.extend(batch.entries);
        }
        let in_doubt = store.store.space().borrow().tail_in_doubt;
        let mut attempts = self.attempts.iter();
        let mut previous: Option<Dlsn> = None;
        for stored in &found {
            let at = stored.dlsn;
            check_successor(name, previous, at, truncated);
            previous = Some(at);
            loop {
                let attempt = attempts.next().unwrap_or_else(|| {
                    panic!("{name}: {at} was never written, or is out of order")
                });
                if attempt.entry.records.ends_with(&stored.records) {
                    match attempt.acknowledged() {
                        Some(dlsn) => assert_eq!(
                            (dlsn.log_segment_sequence_no, dlsn.entry_id),
                            (at.log_segment_sequence_no, at.entry_id)
                        ),
                        None if in_doubt => {}
                        None => {
                            *attempt.outcome.lock().unwrap() = Some(Ok(Dlsn { slot_id: 0, ..at }))
                        }
                    }
                    break;
                }
                let lost = attempt.acknowledged().filter(|dlsn| *dlsn >= truncated);
                assert_eq!(
                    lost, None,
                    "{name}: an acknowledged entry is lost; {at} was read in its place"
                );
            }
        }
        for attempt in attempts {
            let lost = attempt.acknowledged().filter(|dlsn| *dlsn >= truncated);
            assert_eq!(
                lost, None,
                "{name}: an acknowledged entry at the end is lost; it ends after {previous:?}"
            );
        }
        found.len()
    }
}

fn check_successor(name: &StreamName, previous: Option<Dlsn>, at: Dlsn, truncated: Dlsn) {
    let Some(previous) = previous else {
        let lssns = at.log_segment_sequence_no - truncated.log_segment_sequence_no;
        let entries = at.entry_id - truncated.entry_id;
        // The rest of the entry that contains the truncation point, or the next entry if there is
        // no rest, or the next log segment.
        let first = (lssns == 0 && (entries == 0 || entries == 1 && truncated.slot_id > 0))
            || (lssns == 1 && at.entry_id == 0);
        assert!(
            first,
            "{name}: begins at {at} although truncated before {truncated}"
        );
        return;
    };
    let same = at.log_segment_sequence_no == previous.log_segment_sequence_no
        && at.entry_id == previous.entry_id + 1;
    let next =
        at.log_segment_sequence_no == previous.log_segment_sequence_no + 1 && at.entry_id == 0;
    assert!(same || next, "{name}: {at} follows {previous}");
}

impl Model {
    pub(super) fn stream(&mut self, name: &StreamName) -> &mut StreamModel {
        self.streams
            .get_mut(name)
            .expect("all names are known from the beginning")
    }

    /// Copies the model. The copy does not see later outcomes.
    pub(super) fn fork(&self) -> Self {
        let mut copy = self.clone();
        for attempt in copy
            .streams
            .values_mut()
            .flat_map(|stream| &mut stream.attempts)
        {
            let outcome = attempt.outcome.lock().unwrap().clone();
            attempt.outcome = Arc::new(Mutex::new(outcome));
        }
        copy
    }

    /// Checks a store that was just opened, or some time later. Returns the number of entries
    /// compared.
    ///
    /// The outcome of a request without a reply is visible once the store is opened, and not
    /// before.
    pub(super) fn check(&mut self, store: &Stepped, just_opened: bool) -> usize {
        let core::task::Poll::Ready(Ok(names)) =
            super::poll_once(core::pin::pin!(store.store.list()))
        else {
            panic!("no list")
        };
        let mut compared = 0;
        for (name, model) in &mut self.streams {
            let exists = names.contains(name);
            if model.exists.is_none() && !just_opened {
                continue;
            }
            assert!(
                model.exists.is_none_or(|expected| expected == exists),
                "{name} exists: {exists}, expected: {:?}",
                model.exists
            );
            model.exists = Some(exists);
            if exists {
                compared += model.check(name, store, just_opened);
            } else {
                model.forget();
            }
        }
        for name in &names {
            assert!(self.streams.contains_key(name), "{name} was never created");
        }
        compared
    }
}
