//! A device with a single proxy: a writer and a session, without routing. The owner of the socket
//! drives it. It buffers nothing but the record sets.

use distributedlog::client::RequestId;
use distributedlog::client::session::{
    self, Call, Envelope, Event, MuxWrites, Protocol, Session, SessionError, SessionFeatures,
};
use distributedlog::wire::crc;
use distributedlog::wire::service::{Reply, Request, WriteContext};
use distributedlog::writer::{
    EnqueueError, Fixed, OriginalFeatures, RecordId, Settings, SettingsBuilder, StreamCount,
    WriteResult, Writer, WriterFeatures,
};
use distributedlog::{AttemptId, Cause, Dlsn, Failure, Instant, StatusCode};

/// Number of streams.
pub const STREAMS: usize = 4;
/// Two sets in flight, and one that fills.
pub const SETS: usize = 3;
/// Maximum number of records whose result is not taken yet.
pub const RECORDS: usize = 12;
/// Length of a set in bytes.
pub const SET_BYTES: usize = 1024;
/// Maximum number of outstanding attempts: two for each set in flight.
pub const REQUESTS: usize = 4;

/// The tables of the device's writer.
pub type DeviceStorage = Fixed<STREAMS, SETS, RECORDS, SET_BYTES>;

/// An outstanding attempt.
#[derive(Clone, Copy, Debug)]
struct Pending {
    attempt: AttemptId,
    request: RequestId,
    call: Call,
}

/// Constant settings, which are checked at compile time.
const SETTINGS: Settings = checked(capacities());
/// The same settings with all rules that a writer may contain.
const ALL_RULES: Settings = checked(capacities().recommended());

const fn capacities() -> SettingsBuilder {
    Settings::builder()
        .original_features()
        .in_flight_sets(2)
        .pending_records(RECORDS)
        .buffer_size(512)
        .seed(7)
}

const fn checked(settings: SettingsBuilder) -> Settings {
    match settings.build() {
        Ok(settings) => settings,
        Err(_) => panic!("the settings are not within their bounds"),
    }
}

/// Writer and session. `F` selects the writer's features, `S` the session's protocols.
#[derive(Debug)]
pub struct Device<F: WriterFeatures = OriginalFeatures, S: SessionFeatures = MuxWrites> {
    writer: Writer<DeviceStorage, F>,
    session: Session<REQUESTS, S>,
    names: &'static [&'static str; STREAMS],
    pending: [Option<Pending>; REQUESTS],
    requests: u32,
}

impl<F: WriterFeatures, S: SessionFeatures> Device<F, S> {
    /// Creates a device with a new connection.
    #[must_use]
    pub fn new(now: Instant, names: &'static [&'static str; STREAMS]) -> Self {
        let count = StreamCount::new(STREAMS).expect("between 1 and the most");
        let settings = if F::BUDGET && F::HEALTH && F::ADAPTIVE {
            ALL_RULES
        } else {
            SETTINGS
        };
        let writer = Writer::with_features(settings, count, DeviceStorage::new())
            .expect("the tables are as long as the settings say");
        Self {
            writer,
            session: connect(now),
            names,
            pending: [None; REQUESTS],
            requests: 0,
        }
    }

    /// Accepts a record.
    ///
    /// # Errors
    ///
    /// [`EnqueueError`].
    pub fn write(&mut self, now: Instant, record: &[u8]) -> Result<RecordId, EnqueueError> {
        self.writer.write(now, record)
    }

    /// Queues all records for transmission.
    pub fn flush(&mut self) {
        self.writer.flush();
    }

    /// Accepts no more records, and fails at `by` those that have not completed.
    pub fn close(&mut self, now: Instant, by: Instant) {
        self.writer.close(now, by);
    }

    /// Returns the next completed record and its result.
    pub fn next_result(&mut self) -> Option<(RecordId, WriteResult)> {
        let record = self.writer.poll_completed()?;
        self.writer.take(record).map(|result| (record, result))
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.writer
            .poll_timeout()
            .into_iter()
            .chain(self.session.poll_timeout())
            .min()
    }

    /// Handles the timers that are due at `now`.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the connection is to be given up: close it, then call
    /// [`handle_lost`](Self::handle_lost).
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        self.writer.handle_timeout(now);
        self.session.handle_timeout(now)
    }

    /// Writes bytes to send into `out`, which has room for a record set and 256 bytes, and returns
    /// their number.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> usize {
        while let Some(attempt) = self.writer.poll_cancel() {
            if let Some(pending) = self
                .pending
                .iter_mut()
                .find_map(|slot| slot.take_if(|pending| pending.attempt == attempt))
            {
                self.session.discard(now, pending.call);
            }
        }
        let mut total = self.session.poll_transmit(out);
        if !self.session.is_ready() {
            return total;
        }
        let Some(free) = self.pending.iter().position(Option::is_none) else {
            return total;
        };
        let Some(attempt) = self.writer.poll_transmit(now) else {
            return total;
        };
        let (id, stream) = (attempt.id, self.names[usize::from(attempt.stream.0)]);
        let crc32 = Some(i64::from(crc::write(stream, attempt.record_set)));
        let context = WriteContext {
            crc32,
            is_record_set: Some(true),
            ..WriteContext::default()
        };
        let message = Request::WriteWithContext {
            stream,
            data: attempt.record_set,
            context,
        };
        self.requests = self.requests.wrapping_add(1);
        let request = RequestId::new(free as u32, self.requests);
        match self.session.encode_request(
            now,
            request,
            &message,
            &Envelope::default(),
            &mut out[total..],
        ) {
            Ok((count, call)) => {
                self.pending[free] = Some(Pending {
                    attempt: id,
                    request,
                    call,
                });
                total += count;
            }
            Err(_) => self.writer.handle_refused(now, id),
        }
        total
    }

    /// Handles the acceptance of `count` bytes by the socket.
    pub fn handle_transmitted(&mut self, now: Instant, count: usize) {
        self.session.handle_transmitted(now, count);
    }

    /// Handles received bytes and returns how many were consumed; 0 if a message is incomplete.
    ///
    /// # Errors
    ///
    /// As [`handle_timeout`](Self::handle_timeout).
    pub fn handle_received(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, SessionError> {
        let (count, event) = self.session.handle_received(now, bytes)?;
        match event {
            Some(Event::Reply { request, reply }) => self.finish(now, request, outcome(&reply)),
            Some(Event::Failed {
                request, failure, ..
            }) => self.finish(now, request, Err(failure)),
            Some(
                Event::Ready | Event::Discarded { .. } | Event::Draining | Event::Lease { .. },
            )
            | None => {}
        }
        Ok(count)
    }

    /// Handles the loss of the connection and begins a new one.
    pub fn handle_lost(&mut self, now: Instant) {
        while let Some(lost) = self.session.poll_lost() {
            self.finish(
                now,
                lost.request,
                Err(Failure::unanswered(Cause::ConnectionLost).with_known(lost.known)),
            );
        }
        self.session = connect(now);
    }

    fn finish(&mut self, now: Instant, request: RequestId, outcome: Result<Dlsn, Failure>) {
        let pending = self
            .pending
            .get_mut(request.index())
            .and_then(|slot| slot.take_if(|pending| pending.request == request));
        if let Some(pending) = pending {
            self.writer.handle_finished(now, pending.attempt, outcome);
        }
    }
}

fn connect<S: SessionFeatures>(now: Instant) -> Session<REQUESTS, S> {
    let settings = session::Settings::builder()
        .protocol(Protocol::ThriftMux)
        .client_id("device")
        .max_frame_bytes(1024)
        .build();
    let session = Session::with_features(
        now,
        settings.expect("a short name, and room for every answer"),
        7,
    );
    session.expect("mux is what every session speaks")
}

/// Converts a proxy's reply to a write into the outcome of the attempt.
fn outcome(reply: &Reply<'_>) -> Result<Dlsn, Failure> {
    match reply {
        Reply::Write(response) if response.header.code == StatusCode::Success => {
            let dlsn = response.dlsn.and_then(|text| text.parse().ok());
            dlsn.ok_or(Failure::unanswered(Cause::ProtocolError))
        }
        Reply::Write(response) => Err(Failure::of_status(response.header.code)),
        Reply::Exception { .. } => Err(Failure::unanswered(Cause::Exception)),
        Reply::ServerInfo(_) | Reply::BulkWrite(_) | Reply::Void => {
            Err(Failure::unanswered(Cause::ProtocolError))
        }
    }
}

/// Calls the method with the number `what`, so that a linker keeps all of a device.
pub fn step<F: WriterFeatures, S: SessionFeatures>(
    device: &mut Device<F, S>,
    what: u8,
    now: Instant,
    bytes: &[u8],
    out: &mut [u8],
) -> bool {
    match what {
        0 => device.write(now, bytes).is_ok(),
        1 => {
            device.flush();
            true
        }
        2 => device.poll_transmit(now, out) > 0,
        3 => device.handle_received(now, bytes).is_ok(),
        4 => device.handle_timeout(now).is_ok(),
        5 => {
            device.handle_transmitted(now, bytes.len());
            true
        }
        6 => device
            .next_result()
            .is_some_and(|(_, result)| result.is_ok()),
        7 => {
            device.handle_lost(now);
            true
        }
        8 => device.poll_timeout().is_some(),
        _ => {
            device.close(now, now);
            true
        }
    }
}
