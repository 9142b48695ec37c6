//! Writing one stream under a lease: starting, rolling, completing and recovering log segments.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use distributedlog_bookkeeper::ledger::CloseReason;
use distributedlog_bookkeeper::namespace::{MAX_ENTRY_BYTES, MAX_RECORD_BYTES};
use distributedlog_bookkeeper::zookeeper::ZooKeeper;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::batch::{Append, Buffer, entry_bytes};
use super::gathering::{Gathering, UnixClock};
use super::log::{Log, LogError, StartedSegment, unreachable};
use super::segment_writer::{SegmentEnd, SegmentWriter};
use super::settings::BookKeeperSettings;
use crate::{StoreError, StreamName};

/// Pause before a segment is completed again after a failure, and the maximum to which it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Number of records above which a segment is completed, whatever its settings: positions have 31
/// bits, and an entry may add many.
const MAX_RECORDS: u32 = 1 << 30;

/// The writer of a stream, from acquisition to release.
pub(super) struct LogWriter<Z: ZooKeeper> {
    stream: StreamName,
    settings: Arc<BookKeeperSettings>,
    log: Log<Z>,
    unix_ms: UnixClock,
    /// Held while segments are started, completed or recovered, so that none of it goes on when the
    /// stream is released.
    work: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Appends that no segment has taken yet.
    waiting: Buffer,
    /// True while a task watches the time of the oldest of them.
    is_timed: bool,
    last_txid: i64,
    /// Time at which the open segment was started.
    started: Instant,
    is_rolling: bool,
    /// Reason of the last failure to start or to recover, for appends that wait too long.
    failure: Option<String>,
}

enum Phase {
    /// No segment is open: the next append starts one.
    Idle,
    /// A segment is being started, or one that ended by itself is being completed.
    Preparing,
    Open(Arc<SegmentWriter>),
    /// The segment that ended by itself could not be completed: the next append tries again.
    Broken,
    /// Somebody else owns the stream, or this process cannot know that nobody does.
    Lost,
    /// The stream was released.
    Released,
}

impl<Z: ZooKeeper> LogWriter<Z> {
    /// Returns the writer of a log whose segments are all completed, and whose write lock is held.
    pub(super) fn new(
        stream: StreamName,
        settings: Arc<BookKeeperSettings>,
        unix_ms: UnixClock,
        log: Log<Z>,
        last_txid: i64,
    ) -> Arc<Self> {
        Arc::new(Self {
            stream,
            settings,
            log,
            unix_ms,
            work: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                phase: Phase::Idle,
                waiting: Buffer::default(),
                is_timed: false,
                last_txid,
                started: Instant::now(),
                is_rolling: false,
                failure: None,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held: callbacks run without it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an entry. Its callback runs once, never while a lock of this writer is held.
    pub(super) fn append(self: &Arc<Self>, append: Append) {
        if let Err(error) = self.check(&append) {
            (append.done)(Err(error));
            return;
        }
        let mut append = append;
        loop {
            let mut state = self.lock();
            let segment = match &state.phase {
                Phase::Open(segment) => Arc::clone(segment),
                Phase::Lost | Phase::Released => {
                    drop(state);
                    (append.done)(Err(StoreError::Fenced(self.stream.clone())));
                    return;
                }
                Phase::Idle | Phase::Broken | Phase::Preparing => {
                    if state.waiting.bytes() + append.bytes() > self.settings.max_queued_bytes
                        && !state.waiting.is_empty()
                    {
                        drop(state);
                        let limit = self.settings.max_queued_bytes;
                        (append.done)(Err(StoreError::Overloaded { limit }));
                        return;
                    }
                    state.waiting.push(append);
                    self.time_waiting(&mut state);
                    self.prepare(&mut state);
                    return;
                }
            };
            if !self.log.is_surely_owned() {
                drop(state);
                let detail = "ZooKeeper has not been heard from for long".to_owned();
                (append.done)(Err(self.unreachable(detail)));
                return;
            }
            let is_due = !state.is_rolling && self.is_due(&segment, state.started);
            state.is_rolling |= is_due;
            drop(state);
            if is_due {
                tokio::spawn(Arc::clone(self).roll(Arc::clone(&segment)));
            }
            if segment.queued_bytes() + append.bytes() > self.settings.max_queued_bytes {
                let limit = self.settings.max_queued_bytes;
                (append.done)(Err(StoreError::Overloaded { limit }));
                return;
            }
            match segment.append(append) {
                Ok(()) => return,
                Err(returned) => append = returned,
            }
            // The segment ended this moment: the one who noticed it changes the phase.
            self.handle_end_of(&segment);
        }
    }

    fn check(&self, append: &Append) -> Result<(), StoreError> {
        append.entry.check()?;
        let too_large = |size, limit| Err(StoreError::TooLarge { size, limit });
        let record_limit = MAX_RECORD_BYTES - 20;
        let largest = append.entry.records.iter().map(|it| it.payload.len()).max();
        if let Some(size) = largest.filter(|size| *size > record_limit) {
            return too_large(size, record_limit);
        }
        let size = entry_bytes(&append.entry);
        if size > MAX_ENTRY_BYTES {
            return too_large(size, MAX_ENTRY_BYTES);
        }
        Ok(())
    }

    /// Returns true if the next segment is to be started. One without a confirmed entry may end
    /// empty, and is deleted then: a segment behind it would leave a gap between the numbers.
    fn is_due(&self, segment: &SegmentWriter, started: Instant) -> bool {
        let (bytes, records) = segment.size();
        let is_due = bytes >= self.settings.segment_bytes
            || started.elapsed() >= self.settings.segment_age
            || records >= MAX_RECORDS;
        is_due && segment.is_confirmed()
    }

    /// Starts a segment for what waits, or first completes the one that broke.
    fn prepare(self: &Arc<Self>, state: &mut State) {
        let is_broken = match state.phase {
            Phase::Idle => false,
            Phase::Broken => true,
            Phase::Preparing | Phase::Open(_) | Phase::Lost | Phase::Released => return,
        };
        state.phase = Phase::Preparing;
        tokio::spawn(Arc::clone(self).start(is_broken));
    }

    /// Starts a segment and gives it what waits.
    async fn start(self: Arc<Self>, recover_first: bool) {
        let _work = self.work.lock().await;
        self.start_at_work(recover_first).await;
    }

    async fn start_at_work(self: &Arc<Self>, recover_first: bool) {
        if recover_first && let Err(error) = self.recover_log(None).await {
            self.fail(&error, true);
            return;
        }
        match self.start_segment(0).await {
            Ok(segment) => self.open(&segment),
            Err(error) => self.fail(&error, false),
        }
    }

    async fn start_segment(&self, behind: i64) -> Result<Arc<SegmentWriter>, LogError> {
        let last_txid = self.last_txid();
        let started = timeout(
            self.settings.append_timeout,
            self.log.start(last_txid, behind),
        )
        .await;
        let StartedSegment { segment, ledger } = started.map_err(|_| too_slow())??;
        Ok(SegmentWriter::new(
            self.stream.clone(),
            segment.sequence_number,
            Gathering::of(&self.settings),
            ledger,
            segment.first_txid,
            Arc::clone(&self.unix_ms),
        ))
    }

    async fn recover_log(&self, up_to: Option<i64>) -> Result<(), LogError> {
        let recovered = timeout(self.settings.append_timeout, self.log.recover(up_to)).await;
        recovered.map_err(|_| too_slow())?
    }

    fn last_txid(&self) -> i64 {
        let state = self.lock();
        match &state.phase {
            Phase::Open(segment) => segment.min_txid().max(state.last_txid),
            Phase::Idle | Phase::Preparing | Phase::Broken | Phase::Lost | Phase::Released => {
                state.last_txid
            }
        }
    }

    /// Opens a segment for appends: first for those that wait, in their order.
    fn open(self: &Arc<Self>, segment: &Arc<SegmentWriter>) {
        tokio::spawn(Arc::clone(self).watch(Arc::clone(segment)));
        loop {
            let waiting = {
                let mut state = self.lock();
                if !matches!(state.phase, Phase::Preparing) {
                    break; // Lost meanwhile: who noticed it has answered what waited.
                }
                state.failure = None;
                let waiting = state.waiting.take_all();
                if waiting.is_empty() {
                    state.started = Instant::now();
                    state.phase = Phase::Open(Arc::clone(segment));
                    return;
                }
                waiting
            };
            let mut rest = waiting.into_iter();
            while let Some(append) = rest.next() {
                if let Err(returned) = segment.append(append) {
                    let mut state = self.lock();
                    state
                        .waiting
                        .put_back(core::iter::once(returned).chain(rest));
                    self.time_waiting(&mut state);
                    state.phase = Phase::Open(Arc::clone(segment));
                    drop(state);
                    self.handle_end_of(segment);
                    return;
                }
            }
        }
        segment.ledger().abort();
    }

    /// Takes a failure to start or to recover: nothing of what waits was written.
    fn fail(&self, error: &LogError, is_broken: bool) {
        let is_lost = error.is_lost();
        let waiting = {
            let mut state = self.lock();
            if matches!(state.phase, Phase::Preparing) {
                state.phase = match (is_lost, is_broken) {
                    (true, _) => Phase::Lost,
                    (false, true) => Phase::Broken,
                    (false, false) => Phase::Idle,
                };
            }
            state.failure = Some(error.to_string());
            state.waiting.take_all()
        };
        tracing::warn!(stream = %self.stream, %error, is_lost, "no log segment can be started");
        for append in waiting {
            (append.done)(Err(if is_lost {
                StoreError::Fenced(self.stream.clone())
            } else {
                error.clone().of(&self.stream)
            }));
        }
    }

    /// Watches the time of the oldest append that waits, if no task does.
    fn time_waiting(self: &Arc<Self>, state: &mut State) {
        #[cfg(seeded_bugs)]
        if super::seeded_bugs::is_on(super::seeded_bugs::Bug::WaitingHasNoTime) {
            return;
        }
        let Some(since) = state.waiting.oldest().filter(|_| !state.is_timed) else {
            return;
        };
        state.is_timed = true;
        let due = since + self.settings.append_timeout;
        tokio::spawn(watch_time(Arc::downgrade(self), due));
    }

    /// Reports the appends that have waited for a segment too long: nothing of them was written.
    /// Returns the time at which the next one has, or `None` if none waits.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let timeout = self.settings.append_timeout;
        let (expired, next, failure) = {
            let mut state = self.lock();
            let due = now.checked_sub(timeout);
            let expired = due.map(|due| state.waiting.take_until(due));
            let next = state.waiting.oldest().map(|since| since + timeout);
            state.is_timed = next.is_some();
            (expired, next, state.failure.clone())
        };
        for append in expired.into_iter().flatten() {
            let detail = failure.clone();
            let detail = detail.unwrap_or_else(|| "no log segment could be started".to_owned());
            (append.done)(Err(self.unreachable(detail)));
        }
        next
    }

    fn unreachable(&self, detail: String) -> StoreError {
        unreachable(&self.stream, detail)
    }

    /// Waits for the end of an open segment's ledger.
    async fn watch(self: Arc<Self>, segment: Arc<SegmentWriter>) {
        let end = segment.ended().await;
        if self.handle_end_of(&segment) {
            tracing::warn!(
                stream = %self.stream,
                segment = segment.sequence_number(),
                reason = ?end.ledger.reason,
                lost_confirmed = end.ledger.lost_confirmed,
                "a log segment ended before its time"
            );
        }
    }

    /// Takes the end of a segment that nobody closed in order: what it did not send waits for the
    /// next one. Returns false if this is known, or the segment was closed in order.
    fn handle_end_of(self: &Arc<Self>, segment: &Arc<SegmentWriter>) -> bool {
        let mut state = self.lock();
        match &state.phase {
            Phase::Open(open) if Arc::ptr_eq(open, segment) => {}
            Phase::Open(_)
            | Phase::Idle
            | Phase::Preparing
            | Phase::Broken
            | Phase::Lost
            | Phase::Released => return false,
        }
        state.last_txid = state.last_txid.max(segment.min_txid());
        state.phase = Phase::Preparing;
        state.waiting.put_back(segment.take_unsent());
        self.time_waiting(&mut state);
        drop(state);
        tokio::spawn(Arc::clone(self).recover(Arc::clone(segment)));
        true
    }

    /// Completes a segment that ended by itself, if the stream is still this writer's.
    async fn recover(self: Arc<Self>, segment: Arc<SegmentWriter>) {
        let end = segment.ended().await;
        let _work = self.work.lock().await;
        let is_foreign = match end.ledger.reason {
            CloseReason::Refused(_) | CloseReason::TakenOver | CloseReason::Deleted => true,
            CloseReason::Finished | CloseReason::Aborted | CloseReason::NotEnoughBookies => false,
            // A reason of a later version: who owns the stream is asked.
            _ => true,
        };
        if is_foreign && !self.log.is_still_owned().await {
            self.fail(&LogError::lost("another writer took the stream over"), true);
            return;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.recover_log(None).await {
                Ok(_) => break,
                Err(error) if error.is_lost() => {
                    self.fail(&error, true);
                    return;
                }
                Err(error) => {
                    let is_waited_for = !self.lock().waiting.is_empty();
                    self.fail(&error, true);
                    if is_waited_for {
                        return; // The next append tries again.
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
            let mut state = self.lock();
            match state.phase {
                Phase::Broken => state.phase = Phase::Preparing,
                // Another task tries, or nobody is to try any more.
                Phase::Idle | Phase::Preparing | Phase::Open(_) | Phase::Lost | Phase::Released => {
                    return;
                }
            }
        }
        let has_waiting = {
            let mut state = self.lock();
            if !matches!(state.phase, Phase::Preparing) {
                return;
            }
            let has_waiting = !state.waiting.is_empty();
            if !has_waiting {
                state.phase = Phase::Idle;
            }
            has_waiting
        };
        if has_waiting {
            self.start_at_work(false).await;
        }
    }

    /// Starts the next segment while the old one still takes appends, then completes the old one.
    async fn roll(self: Arc<Self>, old: Arc<SegmentWriter>) {
        let work = self.work.lock().await;
        old.hold_txid();
        let next = match self.start_segment(old.sequence_number()).await {
            Ok(next) => next,
            Err(error) => {
                // The old segment goes on; a while later it is tried again.
                old.release_txid();
                drop(work);
                tracing::warn!(stream = %self.stream, %error, "the next log segment cannot start");
                sleep(MAX_PAUSE).await;
                self.lock().is_rolling = false;
                return;
            }
        };
        let is_replaced = {
            let mut state = self.lock();
            state.is_rolling = false;
            match &state.phase {
                Phase::Open(open) if Arc::ptr_eq(open, &old) => {
                    state.last_txid = state.last_txid.max(old.min_txid());
                    state.started = Instant::now();
                    state.phase = Phase::Open(Arc::clone(&next));
                    true
                }
                Phase::Open(_)
                | Phase::Idle
                | Phase::Preparing
                | Phase::Broken
                | Phase::Lost
                | Phase::Released => false,
            }
        };
        if !is_replaced {
            // The old one ended meanwhile: the new one is left empty, for a recovery to remove.
            next.ledger().abort();
            return;
        }
        drop(work);
        #[cfg(seeded_bugs)]
        if super::seeded_bugs::is_on(super::seeded_bugs::Bug::RollLosesOrder) {
            let (writer, old) = (Arc::clone(&self), Arc::clone(&old));
            let unsent = old.take_unsent();
            tokio::spawn(async move {
                sleep(Duration::from_millis(5)).await;
                for append in unsent {
                    writer.append(append);
                }
            });
        }
        tokio::spawn(Arc::clone(&self).watch(next));
        let end = old.close().await;
        for append in old.take_unsent() {
            let detail = "the log segment ended before the record was sent".to_owned();
            (append.done)(Err(self.unreachable(detail)));
        }
        self.complete(&old, &end).await;
        if let Err(error) = self.log.purge(self.settings.retention_ms()).await {
            tracing::warn!(stream = %self.stream, %error, "old log segments cannot be deleted");
        }
    }

    /// Completes a segment that was closed, until it is done or the stream is lost.
    async fn complete(&self, segment: &SegmentWriter, end: &SegmentEnd) {
        let number = segment.sequence_number();
        let mut pause = FIRST_PAUSE;
        loop {
            let work = self.work.lock().await;
            if self.has_ended() {
                return; // Another lease may have begun: the log is its.
            }
            let completed = if end.is_orderly() {
                self.log.complete(number, end).await
            } else {
                self.recover_log(Some(number)).await
            };
            match completed {
                Ok(()) => return,
                Err(error) if error.is_lost() || self.has_ended() => {
                    tracing::warn!(stream = %self.stream, number, %error, "left to the next owner");
                    return;
                }
                Err(error) => {
                    tracing::warn!(stream = %self.stream, number, %error, "not completed yet");
                }
            }
            drop(work);
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.lock().phase, Phase::Lost | Phase::Released)
    }

    /// Completes the open segment, and releases the stream for the next owner.
    pub(super) async fn release(self: &Arc<Self>) -> Result<(), LogError> {
        let phase = core::mem::replace(&mut self.lock().phase, Phase::Released);
        self.refuse_waiting();
        let _work = self.work.lock().await;
        match phase {
            Phase::Open(segment) => {
                // What cannot be completed the next owner completes: it must not wait for this one.
                if let Err(error) = self.close_and_complete(&segment).await {
                    tracing::warn!(stream = %self.stream, %error, "left to the next owner");
                }
            }
            Phase::Idle | Phase::Preparing | Phase::Broken => {}
            Phase::Lost | Phase::Released => return Ok(()),
        }
        #[cfg(seeded_bugs)]
        if super::seeded_bugs::is_on(super::seeded_bugs::Bug::ReleaseKeepsLock) {
            return Ok(());
        }
        self.log.release().await
    }

    async fn close_and_complete(&self, segment: &Arc<SegmentWriter>) -> Result<(), LogError> {
        let end = segment.close().await;
        for append in segment.take_unsent() {
            (append.done)(Err(StoreError::Fenced(self.stream.clone())));
        }
        let number = segment.sequence_number();
        // Segments are completed in order; one before may not be yet.
        self.recover_log(Some(number - 1)).await?;
        if end.is_orderly() {
            self.log.complete(number, &end).await
        } else {
            self.recover_log(None).await
        }
    }

    /// Ends the lease at once: the session with ZooKeeper has ended, or another lease begins.
    /// Entries in flight get their outcome from the ledger's end.
    pub(super) fn fence(&self) {
        let phase = core::mem::replace(&mut self.lock().phase, Phase::Lost);
        if let Phase::Open(segment) = phase {
            segment.ledger().abort();
            #[cfg(seeded_bugs)]
            if super::seeded_bugs::is_on(super::seeded_bugs::Bug::FenceForgetsInFlight) {
                for append in segment.take_sent() {
                    (append.done)(Err(StoreError::Fenced(self.stream.clone())));
                }
            }
            for append in segment.take_unsent() {
                (append.done)(Err(StoreError::Fenced(self.stream.clone())));
            }
        }
        self.refuse_waiting();
    }

    fn refuse_waiting(&self) {
        let waiting = self.lock().waiting.take_all();
        for append in waiting {
            (append.done)(Err(StoreError::Fenced(self.stream.clone())));
        }
    }

    /// Ends the lease when the write lock is lost.
    pub(super) async fn watch_ownership(&self) {
        let reason = self.log.lost().await;
        if !self.has_ended() {
            tracing::warn!(stream = %self.stream, reason, "the write lock of a log stream is lost");
            self.fence();
        }
    }

    /// Returns true if somebody else may own the stream.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.lock().phase, Phase::Lost)
    }

    /// Releases the write lock of a lease that was fenced.
    pub(super) async fn give_up_lock(&self) {
        let _work = self.work.lock().await;
        if let Err(error) = self.log.release().await {
            tracing::warn!(stream = %self.stream, %error, "a write lock is left to its session");
        }
    }

    /// Completes the open segment, so that it can be truncated, and starts the next one.
    pub(super) async fn roll_now(self: &Arc<Self>) {
        let segment = {
            let mut state = self.lock();
            match &state.phase {
                Phase::Open(segment) if !state.is_rolling && segment.is_confirmed() => {
                    let segment = Arc::clone(segment);
                    state.is_rolling = true;
                    segment
                }
                Phase::Open(_)
                | Phase::Idle
                | Phase::Preparing
                | Phase::Broken
                | Phase::Lost
                | Phase::Released => return,
            }
        };
        Arc::clone(self).roll(segment).await;
    }

    /// Returns the segment that is being written, for readers in this process.
    pub(super) fn open_segment(&self) -> Option<Arc<SegmentWriter>> {
        match &self.lock().phase {
            Phase::Open(segment) => Some(Arc::clone(segment)),
            Phase::Idle | Phase::Preparing | Phase::Broken | Phase::Lost | Phase::Released => None,
        }
    }
}

/// Reports appends in time, from `next` on, as long as one waits for a segment.
async fn watch_time<Z: ZooKeeper>(writer: Weak<LogWriter<Z>>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(writer) = writer.upgrade() else {
            return;
        };
        match writer.expire(Instant::now()) {
            Some(at) => next = at,
            None => return,
        }
    }
}

fn too_slow() -> LogError {
    LogError::Failed("ZooKeeper or the bookies did not answer in time".to_owned())
}
