use core::fmt;
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use distributedlog::{Dlsn, Instant};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time;

use super::access::Access;
use super::bounds::Bounds;
use super::connection::ProxyInfo;
use super::machine::{
    Call, InjectedFault, Limits, Machine, Output, QueuedRequestId, Reply, StoreReply, StoreRequest,
    Ticket, Usage, WriteRate, location_of,
};
use super::mailbox::{Appended, ReplyTo};
use super::stats::{MachineStats, Stats, StreamsPage};
use super::supervise::panic_text;
use super::{AdminPeers, Settings, WallClock};
use distributedlog_store::log_limit::{Admitted, LogKind, LogLimits};
use distributedlog_store::metrics::{RequestMetrics, StoreOperation};
use distributedlog_store::{LogStore, Owner, StoreError, StoreHealth, StreamName, wakes};

/// The machine, its store, and the driver between them; shared by all connections.
///
/// There is one lock, around the machine. Appends are handed to the store while it is held, so that
/// entries reach the store in the machine's order; the store never blocks there, and its callbacks
/// take no lock of ours but a mailbox's.
pub(super) struct Service {
    machine: Mutex<Machine<ReplyTo>>,
    store: Arc<dyn LogStore>,
    owner: Owner,
    location: Arc<str>,
    /// Name in the settings, or identity of the store once that is known.
    failure_domain: OnceLock<Box<str>>,
    pub(super) stats: Stats,
    pub(super) health: Arc<StoreHealth>,
    wall_clock: Arc<dyn WallClock>,
    pub(super) max_clock_skew: Duration,
    pub(super) require_client_id: bool,
    pub(super) admin_from: AdminPeers,
    pub(super) access: Access,
    pub(super) bounds: Bounds,
    /// Addresses of the HTTP port and of the stats port, for clients that took this one for them.
    pub(super) http_ports: OnceLock<(Option<SocketAddr>, Option<SocketAddr>)>,
    /// Bounds the log lines that clients can cause.
    pub(super) log_limits: LogLimits,
    /// Notified whenever the store has answered: closing waits for it.
    changed: Notify,
    /// Notified when work is enqueued whose deadline comes before all others.
    earlier: Notify,
    started: time::Instant,
}

/// What is left to [`Service::flush`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unflushed {
    pub(super) has_appended: bool,
    /// True if tasks were woken or begun, which this thread would keep waiting.
    has_woken: bool,
}

impl Unflushed {
    /// Adds what another call has left.
    pub(super) const fn add(&mut self, other: Self) {
        self.has_appended |= other.has_appended;
        self.has_woken |= other.has_woken;
    }
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
            stats: Stats::new(&*store),
            store,
            owner,
            location,
            failure_domain: settings
                .failure_domain
                .as_deref()
                .map_or_else(OnceLock::new, |name| OnceLock::from(Box::from(name))),
            health: Arc::default(),
            wall_clock: settings.wall_clock.clone(),
            max_clock_skew: settings.max_clock_skew,
            require_client_id: settings.require_client_id,
            admin_from: settings.admin_from,
            access: Access::new(
                settings.authorization.clone(),
                settings.http_tokens.clone(),
                settings.audit_log.clone(),
            ),
            bounds: Bounds::new(settings),
            http_ports: OnceLock::new(),
            log_limits: LogLimits::default(),
            changed: Notify::new(),
            earlier: Notify::new(),
            started: time::Instant::now(),
        }
    }

    /// Returns the time on the machine's clock, which starts with the service. It is read once for
    /// what is done [together](wakes::together).
    pub(super) fn now(&self) -> Instant {
        let since = wakes::now() - self.started;
        Instant::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// Returns the time of day, in nanoseconds since 1970.
    pub(super) fn unix_nanos(&self) -> u64 {
        self.wall_clock.unix_nanos()
    }

    /// Passes a request to the machine. Returns its id while it waits in a queue, `None` if it was
    /// started or answered; and what it leaves to [`flush`](Self::flush), which must be called
    /// soon.
    pub(super) fn call(
        self: &Arc<Self>,
        now: Instant,
        call: Call<'_, ReplyTo>,
    ) -> (Option<QueuedRequestId>, Unflushed) {
        self.with_later(|machine| machine.handle_call(now, call))
    }

    /// Has the store write what was appended, on this thread if it likes. Its results come by mail.
    pub(super) fn flush(&self, unflushed: Unflushed) {
        if unflushed.has_appended {
            self.store.flush(!unflushed.has_woken);
        }
    }

    /// Passes completed appends to the machine.
    pub(super) fn take_appended(self: &Arc<Self>, now: Instant, appended: &mut Vec<Appended>) {
        if appended.is_empty() {
            return;
        }
        self.with(|machine| {
            for (ticket, result) in appended.drain(..) {
                machine.handle_appended(now, ticket, result);
            }
        });
        self.changed.notify_waiters();
    }

    /// Drops a request that has not started. Returns whether it did.
    pub(super) fn discard(self: &Arc<Self>, now: Instant, id: &QueuedRequestId) -> bool {
        self.with(|machine| machine.discard(now, id))
    }

    /// Injects a fault into a stream, or ends it with `None`.
    pub(super) fn set_fault(self: &Arc<Self>, stream: &str, fault: Option<InjectedFault>) {
        let now = self.now();
        self.with(|machine| machine.set_fault(now, stream, fault));
    }

    /// Returns the streams with an injected fault, each with its fault.
    pub(super) fn faults(&self) -> Vec<(String, InjectedFault)> {
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine
            .faults()
            .map(|(stream, fault)| (stream.to_owned(), fault))
            .collect()
    }

    /// Replies to queued requests whose deadlines pass, until it is dropped.
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

    /// Releases every stream and closes the store. Returns the number of streams that there were.
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

    /// Returns the counters of the streams whose names begin with the prefix, at most `limit`.
    pub(super) fn streams_page(&self, prefix: &str, limit: usize) -> StreamsPage {
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let (streams, left_out) = machine.stream_counters(prefix, limit);
        StreamsPage { streams, left_out }
    }

    /// Returns the rates at which these streams are written through this proxy, `None` for those
    /// that it does not own.
    pub(super) fn rates<'a>(
        &self,
        streams: impl Iterator<Item = &'a StreamName>,
    ) -> Vec<Option<WriteRate>> {
        let now = self.now();
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        streams.map(|stream| machine.rate(now, stream)).collect()
    }

    /// Returns the machine's gauges and counters.
    pub(super) fn machine_stats(&self) -> MachineStats {
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        MachineStats {
            streams: machine.stream_count(),
            usage: machine.usage(),
            accepting: machine.is_accepting(),
            counters: machine.counters(),
        }
    }

    /// Calls the machine, then carries out its outputs.
    fn with<R>(self: &Arc<Self>, work: impl FnOnce(&mut Machine<ReplyTo>) -> R) -> R {
        let (result, unflushed) = self.with_later(work);
        if unflushed.has_appended {
            self.store.flush(false);
        }
        result
    }

    /// Does the same as [`with`](Self::with), but leaves the flush to the caller.
    fn with_later<R>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Machine<ReplyTo>) -> R,
    ) -> (R, Unflushed) {
        let mut unflushed = Unflushed::default();
        let (result, questions) = {
            // A panic in here is a bug of ours in one request: a poisoned lock must not fail all
            // others.
            let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
            let before = machine.next_deadline();
            let result = work(&mut machine);
            if machine
                .next_deadline()
                .is_some_and(|next| before.is_none_or(|before| next < before))
            {
                self.earlier.notify_one();
                unflushed.has_woken = true;
            }
            (result, self.carry_out(&mut machine, &mut unflushed))
        };
        unflushed.has_woken |= !questions.is_empty();
        self.ask_all(questions);
        (result, unflushed)
    }

    /// Puts each question to the store, and its answer to the machine.
    // Not part of `with`: its type parameter would become a part of the closure in `ask`, and that
    // a type parameter of the next `with`, without end.
    /// Sends each request to the store, and its reply to the machine.
    fn ask_all(self: &Arc<Self>, questions: Vec<StoreRequest<ReplyTo>>) {
        for question in questions {
            self.ask(question);
        }
    }

    /// Sends replies and appends, and returns the other requests to the store.
    fn carry_out(
        &self,
        machine: &mut Machine<ReplyTo>,
        unflushed: &mut Unflushed,
    ) -> Vec<StoreRequest<ReplyTo>> {
        let mut questions = Vec::new();
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Reply { to, reply } => reply_to(machine, to, reply),
                Output::Append {
                    lease,
                    entry,
                    ticket,
                } => {
                    let pending = PendingTicket {
                        ticket: Some(ticket),
                        requests: self.stats.store.clone(),
                        began: wakes::now(),
                    };
                    let done = Box::new(move |result| pending.complete(result));
                    self.store.append_later(&lease, entry, done);
                    unflushed.has_appended = true;
                }
                Output::Request(question) => questions.push(question),
            }
        }
        questions
    }

    /// Sends a request to the store in a task of its own, and its reply to the machine.
    fn ask(self: &Arc<Self>, question: StoreRequest<ReplyTo>) {
        let service = self.clone();
        tokio::spawn(async move {
            let failed = question.failed(StoreError::Io {
                path: "the store".to_owned(),
                detail: "a bug ended the operation".to_owned(),
            });
            let (began, operation) = (time::Instant::now(), question.operation());
            let asking = ask(&service, question);
            // The machine waits for a reply, and with it all clients of the stream.
            let reply = AssertUnwindSafe(asking).catch_unwind().await;
            let reply = reply.unwrap_or_else(|panic| {
                let panic = panic_text(&*panic);
                tracing::error!(panic, "a bug ended an operation of the store");
                failed
            });
            let requests = &service.stats.store;
            requests.answered(operation, began.elapsed(), reply.error());
            let now = service.now();
            service.with(|machine| machine.handle_store(now, reply));
            service.changed.notify_waiters();
        });
    }

    /// Returns the proxy as the owner of streams.
    pub(super) const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Counts an error among those of the last hour.
    pub(super) fn note_error(&self, kind: &'static str, message: &str) {
        let unix_ms = self.unix_nanos() / 1_000_000;
        self.stats.recent_errors.note(unix_ms, kind, message);
    }

    /// Returns the address at which thrift clients reach the proxy.
    pub(super) fn address(&self) -> &str {
        &self.owner.address
    }

    /// Returns where clients of HTTP find it.
    pub(super) fn http_hint(&self) -> String {
        match self.http_ports.get() {
            Some((Some(http), _)) => format!("and HTTP is at port {}", http.port()),
            Some((None, Some(stats))) => format!(
                "and HTTP is not served; metrics and health are at port {}",
                stats.port()
            ),
            Some((None, None)) | None => {
                "and HTTP is not served: start the proxy with --http-port".to_owned()
            }
        }
    }

    /// Returns the store, for readers.
    pub(super) const fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    /// Returns DistributedLog's text for this proxy, which redirects and handshakes contain.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// Returns the name of the failure domain of the streams' storage: that in the settings, or the
    /// identity of the store. `None` if it has none, and before a remote store has said its own.
    pub(super) fn failure_domain(&self) -> Option<&str> {
        let known = self.failure_domain.get();
        let name = known.or_else(|| {
            let id = self.store.identity()?;
            Some(self.failure_domain.get_or_init(|| id.to_string().into()))
        });
        name.map(|name| &**name)
    }

    /// Returns what handshakes say of this proxy.
    pub(super) fn info(&self) -> ProxyInfo<'_> {
        ProxyInfo {
            location: &self.location,
            failure_domain: self.failure_domain(),
        }
    }
}

/// Sends a reply, and those behind it that have the same mailbox.
fn reply_to(machine: &mut Machine<ReplyTo>, to: ReplyTo, reply: Reply) {
    let mailbox = to.mailbox;
    let mut first = Some((to.slot, reply));
    mailbox.send_replies(|| {
        first.take().or_else(|| {
            let (to, reply) = machine.poll_reply(|to| Arc::ptr_eq(&to.mailbox, &mailbox))?;
            Some((to.slot, reply))
        })
    });
}

/// The ticket of an append that the store has. A store that drops its callback without a call, as
/// one does that a bug ends, has answered too.
struct PendingTicket {
    ticket: Option<Ticket<ReplyTo>>,
    requests: Arc<RequestMetrics>,
    began: time::Instant,
}

impl PendingTicket {
    fn complete(mut self, result: Result<Dlsn, StoreError>) {
        self.send(result);
    }

    fn send(&mut self, result: Result<Dlsn, StoreError>) {
        if let Some(ticket) = self.ticket.take() {
            let took = wakes::now() - self.began;
            let error = result.as_ref().err();
            self.requests.answered(StoreOperation::Append, took, error);
            let mailbox = ticket.to.mailbox.clone();
            mailbox.send_appended((ticket, result));
        }
    }
}

impl Drop for PendingTicket {
    fn drop(&mut self) {
        self.send(Err(StoreError::Io {
            path: "the store".to_owned(),
            detail: "a bug ended it before it answered".to_owned(),
        }));
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// Carries out a request to the store.
async fn ask(service: &Service, question: StoreRequest<ReplyTo>) -> StoreReply<ReplyTo> {
    let (store, owner) = (&*service.store, &service.owner);
    match question {
        StoreRequest::Acquire { stream } => {
            let result = store.acquire(&stream, owner).await;
            match &result {
                Ok(acquired) => tracing::debug!(%stream, ?acquired, "asked for a stream"),
                Err(error) => tracing::debug!(%stream, %error, "asked for a stream"),
            }
            StoreReply::Acquired { stream, result }
        }
        StoreRequest::CreateMissing { stream } => {
            let result = store.create(&stream).await;
            if let Some(Admitted { left_out }) = service.log_limits.admit(LogKind::StreamCreated) {
                let ok = result.is_ok();
                tracing::info!(%stream, ok, left_out, "created a stream for a write");
            }
            StoreReply::CreatedMissing { stream, result }
        }
        StoreRequest::Release { lease } => {
            let result = store.release(&lease).await;
            StoreReply::Released {
                stream: lease.stream,
                result,
            }
        }
        StoreRequest::Delete { stream } => {
            let result = store.delete(&stream).await;
            if let Some(Admitted { left_out }) = service.log_limits.admit(LogKind::StreamDeleted) {
                tracing::info!(%stream, ok = result.is_ok(), left_out, "deleted a stream");
            }
            StoreReply::Deleted { stream, result }
        }
        StoreRequest::Truncate { stream, before, to } => {
            let result = store.truncate(&stream, before).await;
            StoreReply::Truncated { stream, result, to }
        }
        StoreRequest::Create { stream, to } => {
            let result = store.create(&stream).await;
            StoreReply::Created { stream, result, to }
        }
        StoreRequest::Describe { stream, to } => {
            let result = store.describe(&stream).await;
            StoreReply::Described { stream, result, to }
        }
    }
}
