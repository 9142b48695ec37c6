//! The lives of the streams: each begins when it is created and ends when it is deleted, and in
//! between its beginning is truncated. What the store shows of that must be what somebody asked
//! for, and it must stay so.

use std::collections::BTreeMap;

use distributedlog::Dlsn;
use distributedlog_store::StoreError;

use crate::operator::Task;

/// What a store shows of a stream that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// Which life it is: when it began, on the store's clock.
    pub(crate) created_unix_ms: u64,
    /// Records before it are gone.
    pub(crate) truncated_before: Option<Dlsn>,
}

/// What is known of all streams.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    streams: Vec<History>,
    /// Which stream each task is for.
    tasks: BTreeMap<u64, usize>,
    last_task: u64,
}

#[derive(Debug, Default)]
struct History {
    now: Option<Life>,
    /// In which millisecond it was first seen.
    began: u64,
    /// In which millisecond the last life was seen to have ended.
    ended: Option<u64>,
    /// What was asked for and may still happen.
    open: BTreeMap<u64, Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    task: Task,
    at: u64,
    /// Whether whoever asked may still be answered.
    waits: bool,
}

impl Lives {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            streams: (0..streams).map(|_| History::default()).collect(),
            ..Self::default()
        }
    }

    /// Somebody asks for something; the number is the task's.
    pub(crate) fn asked(&mut self, now: u64, stream: usize, task: Task) -> u64 {
        self.last_task += 1;
        self.tasks.insert(self.last_task, stream);
        self.streams[stream].open.insert(
            self.last_task,
            Asked {
                task,
                at: now,
                waits: true,
            },
        );
        self.last_task
    }

    /// A task was answered. One that failed in a way that does not say that nothing was done may be
    /// done any time later.
    pub(crate) fn answered(&mut self, number: u64, answer: &Result<(), StoreError>) {
        let history = &mut self.streams[self.tasks[&number]];
        let Some(asked) = history.open.get_mut(&number) else {
            return;
        };
        asked.waits = false;
        let asked = *asked;
        match (answer, asked.task) {
            (
                Err(StoreError::Disconnected { .. } | StoreError::Io { .. } | StoreError::Closed),
                _,
            ) => return,
            (Ok(()), Task::Delete) => {
                let lives_on = history.now.is_some() && history.began < asked.at;
                assert!(
                    !lives_on,
                    "task {number} was to delete a stream that lives on"
                );
            }
            // Of a life after the first it is not known whether it is as long as the position says.
            (Ok(()), Task::Truncate(before))
                if history.ended.is_none() && before > Dlsn::INITIAL =>
            {
                let there = history.now.and_then(|life| life.truncated_before);
                assert!(
                    there >= Some(before),
                    "task {number} was to truncate a stream before {before}, which was truncated \
                     before {there:?}"
                );
            }
            // Nothing can be said of it, or it was not done at all.
            (Ok(()), Task::Truncate(_) | Task::Create) | (Err(_), _) => {}
        }
        history.open.remove(&number);
    }

    /// Who asked is no more, and will not be answered.
    pub(crate) fn operator_died(&mut self) {
        for asked in self
            .streams
            .iter_mut()
            .flat_map(|history| history.open.values_mut())
        {
            asked.waits = false;
        }
    }

    /// How many tasks will be answered, and how many others may yet be carried out.
    pub(crate) fn unsettled(&self) -> (usize, usize) {
        let open = || {
            self.streams
                .iter()
                .flat_map(|history| history.open.values())
        };
        let waiting = open().filter(|asked| asked.waits).count();
        (waiting, open().count() - waiting)
    }

    /// What the store shows now.
    pub(crate) fn observe(&mut self, now: u64, stream: usize, shown: Option<Life>) {
        let history = &mut self.streams[stream];
        if history.now != shown {
            history.explain(&format!("now, stream {stream}"), shown);
            if history.has_ended(shown) {
                history.ended = Some(now);
            }
            if shown.map(|life| life.created_unix_ms)
                != history.now.map(|life| life.created_unix_ms)
            {
                history.began = now;
            }
            history.now = shown;
        }
    }

    /// Checks what another store shows that begins with this one's disk: all that was seen, and
    /// nothing that nobody asked for.
    pub(super) fn check(&self, when: &str, stream: usize, shown: Option<Life>) {
        self.streams[stream].explain(&format!("{when}, stream {stream}"), shown);
    }

    /// Whether a record that was accepted then, and acknowledged at a position of a stream, must be
    /// there in a store that shows `shown`.
    pub(super) fn holds(
        &self,
        stream: usize,
        accepted: u64,
        dlsn: Dlsn,
        shown: Option<Life>,
    ) -> bool {
        let history = &self.streams[stream];
        let ended_since =
            history.ended.is_some_and(|ended| ended >= accepted) || history.has_ended(shown);
        !ended_since
            && shown
                .and_then(|life| life.truncated_before)
                .is_none_or(|before| before <= dlsn)
    }
}

impl History {
    /// Whether the life that was seen last is over in a store that shows `shown`.
    fn has_ended(&self, shown: Option<Life>) -> bool {
        self.now.is_some_and(|life| {
            shown.is_none_or(|shown| shown.created_unix_ms != life.created_unix_ms)
        })
    }

    fn explain(&self, when: &str, shown: Option<Life>) {
        let mut asked = self.open.values().map(|asked| asked.task);
        if self.has_ended(shown) {
            assert!(
                asked.clone().any(|task| task == Task::Delete),
                "{when}: {:?} has become {shown:?}, and nobody deleted it",
                self.now
            );
        }
        let Some(shown) = shown else { return };
        let same = self
            .now
            .filter(|life| life.created_unix_ms == shown.created_unix_ms);
        let before = same.and_then(|life| life.truncated_before);
        assert!(
            shown.truncated_before >= before,
            "{when}: truncated before {before:?}, and again before {:?}",
            shown.truncated_before
        );
        if shown.truncated_before > before {
            let explained = asked.any(|task| matches!(task, Task::Truncate(point) if Some(point) >= shown.truncated_before));
            assert!(
                explained,
                "{when}: truncated before {:?}, which nobody asked for",
                shown.truncated_before
            );
        }
    }
}
