use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use distributedlog::Instant;
use tokio::sync::Notify;
use tokio::time;

use super::machine::{
    Call, Fault, Limits, Machine, Output, Question, StoreAnswer, Usage, WaitingId, location_of,
};
use super::mailbox::{Mail, Origin};
use super::stats::{Figures, Stats};
use super::{Settings, WallClock};
use distributedlog_store::{LogStore, Owner};

/// The machine, its store, and what carries things between them: shared by all connections.
///
/// There is one lock, around the machine. Appends are handed to the store while it is held, so that
/// entries reach the store in the machine's order; the store never blocks there, and what it calls
/// back takes no lock of ours but a mailbox's.
pub(super) struct Service {
    machine: Mutex<Machine<Origin>>,
    store: Arc<dyn LogStore>,
    owner: Owner,
    location: Arc<str>,
    pub(super) stats: Stats,
    wall_clock: Arc<dyn WallClock>,
    pub(super) max_clock_skew: Duration,
    pub(super) require_client_id: bool,
    /// Told whenever the store has answered: closing waits for it.
    changed: Notify,
    /// Told when something begins to wait whose deadline comes before all others.
    earlier: Notify,
    started: time::Instant,
}

impl Service {
    pub(super) fn new(owner: Owner, settings: &Settings, store: Arc<dyn LogStore>) -> Self {
        let limits = Limits {
            stream: Usage {
                requests: settings.max_requests_per_stream,
                bytes: settings.max_bytes_per_stream,
            },
            total: Usage {
                requests: settings.max_requests,
                bytes: settings.max_bytes,
            },
            streams: settings.max_streams,
            create_missing_streams: settings.create_missing_streams,
            read_only: settings.read_only,
            remembered_sets: settings.remembered_sets,
        };
        let location = location_of(&owner);
        Self {
            machine: Mutex::new(Machine::new(location.clone(), limits)),
            store,
            owner,
            location,
            stats: Stats::new(),
            wall_clock: settings.wall_clock.clone(),
            max_clock_skew: settings.max_clock_skew,
            require_client_id: settings.require_client_id,
            changed: Notify::new(),
            earlier: Notify::new(),
            started: time::Instant::now(),
        }
    }

    /// The time on the machine's clock.
    pub(super) fn now(&self) -> Instant {
        let since = self.started.elapsed();
        Instant::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// The time of day.
    pub(super) fn unix_nanos(&self) -> u64 {
        self.wall_clock.unix_nanos()
    }

    /// Takes a request.
    pub(super) fn call(
        self: &Arc<Self>,
        now: Instant,
        call: Call<'_, Origin>,
    ) -> Option<WaitingId> {
        self.with(|machine| machine.handle_call(now, call))
    }

    /// Takes all appends that are done from a connection's mail; what is left are its other kinds.
    pub(super) fn take_appended(self: &Arc<Self>, now: Instant, mail: &mut Vec<Mail>) {
        if !mail.iter().any(|mail| matches!(mail, Mail::Appended(..))) {
            return;
        }
        self.with(|machine| {
            for mail in mail.extract_if(.., |mail| matches!(mail, Mail::Appended(..))) {
                if let Mail::Appended(ticket, result) = mail {
                    machine.handle_appended(now, ticket, result);
                }
            }
        });
        self.changed.notify_waiters();
    }

    /// Drops a request that has not started.
    pub(super) fn discard(self: &Arc<Self>, now: Instant, id: &WaitingId) -> bool {
        self.with(|machine| machine.discard(now, id))
    }

    /// Makes a stream misbehave, or behave again.
    pub(super) fn set_fault(self: &Arc<Self>, stream: &str, fault: Option<Fault>) {
        let now = self.now();
        self.with(|machine| machine.set_fault(now, stream, fault));
    }

    /// Which streams misbehave, and how.
    pub(super) fn faults(&self) -> Vec<(String, Fault)> {
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine
            .faults()
            .map(|(stream, fault)| (stream.to_owned(), fault))
            .collect()
    }

    /// Answers what still waits when its deadline passes, until it is dropped.
    pub(super) async fn watch_deadlines(self: Arc<Self>) {
        loop {
            let next = self
                .machine
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next_deadline();
            let Some(deadline) = next else {
                self.earlier.notified().await;
                continue;
            };
            // At its deadline itself a request may still start.
            let passed =
                self.started + Duration::from_micros(deadline.as_micros().saturating_add(1));
            tokio::select! {
                () = self.earlier.notified() => {}
                () = time::sleep_until(passed) => {
                    let now = self.now();
                    self.with(|machine| machine.handle_deadlines(now));
                }
            }
        }
    }

    /// Accepts no further streams.
    pub(super) fn drain(self: &Arc<Self>) {
        let now = self.now();
        self.with(|machine| machine.drain(now));
    }

    /// Gives every stream back and closes the store. Says how many streams there were.
    pub(super) async fn close(self: &Arc<Self>) -> usize {
        let now = self.now();
        let streams = self.with(|machine| machine.close(now));
        loop {
            let changed = self.changed.notified();
            if self.with(|machine| machine.is_closed()) {
                break;
            }
            changed.await;
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "closing the store failed");
        }
        streams
    }

    /// What the machine knows of itself.
    pub(super) fn figures(&self) -> Figures {
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        Figures {
            streams: machine.stream_count(),
            usage: machine.usage(),
            accepting: machine.is_accepting(),
            counters: machine.counters(),
        }
    }

    /// Works on the machine, then carries out what it wants done.
    fn with<R>(self: &Arc<Self>, work: impl FnOnce(&mut Machine<Origin>) -> R) -> R {
        let (result, questions) = {
            // A panic in here is a bug of ours in one request; the others must not be lost with it.
            let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
            let before = machine.next_deadline();
            let result = work(&mut machine);
            if machine
                .next_deadline()
                .is_some_and(|next| before.is_none_or(|before| next < before))
            {
                self.earlier.notify_one();
            }
            (result, self.carry_out(&mut machine))
        };
        self.ask_all(questions);
        result
    }

    /// Puts each question to the store, and its answer to the machine.
    // Not part of `with`, whose type parameter it would carry into the closure below, and that into
    // the next `with`, without end.
    fn ask_all(self: &Arc<Self>, questions: Vec<Question<Origin>>) {
        for question in questions {
            self.ask(question);
        }
    }

    /// Sends replies and appends on their way; what is to be asked of the store is left.
    fn carry_out(&self, machine: &mut Machine<Origin>) -> Vec<Question<Origin>> {
        let mut questions = Vec::new();
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Reply { to, answer } => to.mailbox.send(Mail::Answer(to.slot, answer)),
                Output::Append {
                    lease,
                    entry,
                    ticket,
                } => {
                    let mailbox = ticket.to.mailbox.clone();
                    self.store.append(
                        &lease,
                        entry,
                        Box::new(move |result| mailbox.send(Mail::Appended(ticket, result))),
                    );
                }
                Output::Ask(question) => questions.push(question),
            }
        }
        questions
    }

    /// Asks the store, beside everything else, and takes its answer.
    fn ask(self: &Arc<Self>, question: Question<Origin>) {
        let service = self.clone();
        tokio::spawn(async move {
            let answer = ask(&*service.store, &service.owner, question).await;
            let now = service.now();
            service.with(|machine| machine.handle_store(now, answer));
            service.changed.notify_waiters();
        });
    }

    /// What readers read.
    pub(super) const fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    /// What stands for this proxy in redirects and handshakes.
    pub(super) fn location(&self) -> &str {
        &self.location
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// Asks the store.
async fn ask(
    store: &dyn LogStore,
    owner: &Owner,
    question: Question<Origin>,
) -> StoreAnswer<Origin> {
    match question {
        Question::Acquire { stream } => {
            let result = store.acquire(&stream, owner).await;
            match &result {
                Ok(acquired) => tracing::debug!(%stream, ?acquired, "asked for a stream"),
                Err(error) => tracing::debug!(%stream, %error, "asked for a stream"),
            }
            StoreAnswer::Acquired { stream, result }
        }
        Question::CreateMissing { stream } => {
            let result = store.create(&stream).await;
            tracing::info!(%stream, ok = result.is_ok(), "made a stream that a write was for");
            StoreAnswer::CreatedMissing { stream, result }
        }
        Question::Release { lease } => {
            let result = store.release(&lease).await;
            StoreAnswer::Released {
                stream: lease.stream,
                result,
            }
        }
        Question::Delete { stream } => {
            let result = store.delete(&stream).await;
            tracing::info!(%stream, ok = result.is_ok(), "deleted a stream");
            StoreAnswer::Deleted { stream, result }
        }
        Question::Truncate { stream, before, to } => {
            let result = store.truncate(&stream, before).await;
            StoreAnswer::Truncated { stream, result, to }
        }
        Question::Create { stream, to } => {
            let result = store.create(&stream).await;
            StoreAnswer::Created { stream, result, to }
        }
        Question::Describe { stream, to } => {
            let result = store.describe(&stream).await;
            StoreAnswer::Described { stream, result, to }
        }
    }
}
