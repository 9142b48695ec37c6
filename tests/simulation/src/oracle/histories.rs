//! Histories of the streams. An incarnation of a stream begins when it is created and ends when it
//! is deleted; in between it may be truncated. Every change that the store shows must have been
//! requested by the operator, and must last.

use std::collections::BTreeMap;

use distributedlog::Dlsn;
use distributedlog_store::StoreError;

use crate::operator::Task;

/// State that a store shows of a stream that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    /// Creation time on the store's clock, which identifies the incarnation.
    pub(crate) created_unix_ms: u64,
    /// Records before this position are truncated. `None`: the stream was not truncated.
    pub(crate) truncated_before: Option<Dlsn>,
}

/// Histories of all streams.
#[derive(Debug, Default)]
pub(crate) struct StreamHistories {
    streams: Vec<StreamHistory>,
    /// Stream of each task.
    tasks: BTreeMap<u64, usize>,
    last_task: u64,
}

#[derive(Debug, Default)]
struct StreamHistory {
    current: Option<Incarnation>,
    /// Millisecond in which the current incarnation was first seen.
    first_seen_ms: u64,
    /// Millisecond in which the last incarnation was seen to have ended, or `None`.
    ended_ms: Option<u64>,
    /// True once its deletion was requested.
    was_deleted: bool,
    /// Tasks that may still take effect, by number.
    unsettled_tasks: BTreeMap<u64, PendingTask>,
}

#[derive(Clone, Copy, Debug)]
struct PendingTask {
    task: Task,
    started_ms: u64,
    /// The operator still waits for the result.
    awaited: bool,
}

impl StreamHistories {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            streams: (0..streams).map(|_| StreamHistory::default()).collect(),
            ..Self::default()
        }
    }

    /// Records a task of the operator and returns its number.
    pub(crate) fn task_started(&mut self, now: u64, stream: usize, task: Task) -> u64 {
        self.last_task += 1;
        self.tasks.insert(self.last_task, stream);
        self.streams[stream].was_deleted |= matches!(task, Task::Delete);
        self.streams[stream].unsettled_tasks.insert(
            self.last_task,
            PendingTask {
                task,
                started_ms: now,
                awaited: true,
            },
        );
        self.last_task
    }

    /// Returns `true` once the stream's deletion was requested.
    pub(crate) fn was_deleted(&self, stream: usize) -> bool {
        self.streams[stream].was_deleted
    }

    /// Records the result of a task. A task whose error does not exclude that it took effect may
    /// take effect at any later time.
    pub(crate) fn task_finished(&mut self, number: u64, result: &Result<(), StoreError>) {
        let history = &mut self.streams[self.tasks[&number]];
        let Some(pending) = history.unsettled_tasks.get_mut(&number) else {
            return;
        };
        pending.awaited = false;
        let pending = *pending;
        match (result, pending.task) {
            (
                Err(StoreError::Disconnected { .. } | StoreError::Io { .. } | StoreError::Closed),
                _,
            ) => return,
            (Ok(()), Task::Delete) => {
                let survives =
                    history.current.is_some() && history.first_seen_ms < pending.started_ms;
                assert!(
                    !survives,
                    "task {number} was to delete a stream that still exists"
                );
            }
            // Incarnations after the first may be shorter than the position says.
            (Ok(()), Task::Truncate(before))
                if history.ended_ms.is_none() && before > Dlsn::INITIAL =>
            {
                let there = history
                    .current
                    .and_then(|incarnation| incarnation.truncated_before);
                assert!(
                    there >= Some(before),
                    "task {number} was to truncate a stream before {before}, which was truncated \
                     before {there:?}"
                );
            }
            // Either the task proves nothing, or it had no effect.
            (Ok(()), Task::Truncate(_) | Task::Create) | (Err(_), _) => {}
        }
        history.unsettled_tasks.remove(&number);
    }

    /// Records that the operator died: it receives no further results.
    pub(crate) fn operator_died(&mut self) {
        for pending in self
            .streams
            .iter_mut()
            .flat_map(|history| history.unsettled_tasks.values_mut())
        {
            pending.awaited = false;
        }
    }

    /// Returns the number of tasks that await a result, and of other tasks that may yet take
    /// effect.
    pub(crate) fn unsettled(&self) -> (usize, usize) {
        let unsettled_tasks = || {
            self.streams
                .iter()
                .flat_map(|history| history.unsettled_tasks.values())
        };
        let waiting = unsettled_tasks().filter(|pending| pending.awaited).count();
        (waiting, unsettled_tasks().count() - waiting)
    }

    /// Compares the state that the store shows now with the history, and records it.
    pub(crate) fn observe(&mut self, now: u64, stream: usize, shown: Option<Incarnation>) {
        let history = &mut self.streams[stream];
        if history.current != shown {
            history.explain(&format!("now, stream {stream}"), shown);
            if history.has_ended(shown) {
                history.ended_ms = Some(now);
            }
            if shown.map(|incarnation| incarnation.created_unix_ms)
                != history
                    .current
                    .map(|incarnation| incarnation.created_unix_ms)
            {
                history.first_seen_ms = now;
            }
            history.current = shown;
        }
    }

    /// Checks the state that a second store, opened on a copy of the disk, shows: every change seen
    /// so far, and none that was not requested.
    pub(super) fn check(&self, when: &str, stream: usize, shown: Option<Incarnation>) {
        self.streams[stream].explain(&format!("{when}, stream {stream}"), shown);
    }

    /// Returns true if a record that was accepted in millisecond `accepted` and acknowledged at
    /// `dlsn` must be in a store that shows `shown`.
    pub(super) fn holds(
        &self,
        stream: usize,
        accepted: u64,
        dlsn: Dlsn,
        shown: Option<Incarnation>,
    ) -> bool {
        let history = &self.streams[stream];
        let ended_since = history
            .ended_ms
            .is_some_and(|ended_ms| ended_ms >= accepted)
            || history.has_ended(shown);
        !ended_since
            && shown
                .and_then(|incarnation| incarnation.truncated_before)
                .is_none_or(|before| before <= dlsn)
    }
}

impl StreamHistory {
    /// Returns true if the incarnation that was seen last is over in a store that shows `shown`.
    fn has_ended(&self, shown: Option<Incarnation>) -> bool {
        self.current.is_some_and(|incarnation| {
            shown.is_none_or(|shown| shown.created_unix_ms != incarnation.created_unix_ms)
        })
    }

    fn explain(&self, when: &str, shown: Option<Incarnation>) {
        let mut pending = self.unsettled_tasks.values().map(|pending| pending.task);
        if self.has_ended(shown) {
            assert!(
                pending.clone().any(|task| task == Task::Delete),
                "{when}: {:?} has become {shown:?}, but no deletion was requested",
                self.current
            );
        }
        let Some(shown) = shown else { return };
        let same = self
            .current
            .filter(|incarnation| incarnation.created_unix_ms == shown.created_unix_ms);
        let before = same.and_then(|incarnation| incarnation.truncated_before);
        assert!(
            shown.truncated_before >= before,
            "{when}: truncated before {before:?}, and again before {:?}",
            shown.truncated_before
        );
        if shown.truncated_before > before {
            let explained = pending.any(|task| {
                matches!(task, Task::Truncate(point) if Some(point) >= shown.truncated_before)
            });
            assert!(
                explained,
                "{when}: truncated before {:?}, which was not requested",
                shown.truncated_before
            );
        }
    }
}
