//! A device that knows its only proxy: a writer and a session, no routing. Whoever has a socket
//! calls it; it keeps no bytes but the record sets.

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

/// Streams that it writes to.
pub const STREAMS: usize = 4;
/// Two sets in flight, and the one that fills.
pub const SETS: usize = 3;
/// Records whose result was not taken yet.
pub const RECORDS: usize = 12;
/// The bytes of one set.
pub const SET_BYTES: usize = 1024;
/// Attempts under way: each set at two streams at a time.
pub const REQUESTS: usize = 4;

/// The tables of its writer.
pub type DeviceStorage = Fixed<STREAMS, SETS, RECORDS, SET_BYTES>;

/// An attempt under way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    attempt: AttemptId,
    request: RequestId,
    call: Call,
}

/// Settings that are constants are checked when the program is compiled.
const SETTINGS: Settings = checked(capacities());
/// The same, with all rules on that a writer may contain.
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

/// Writer and session: of the writer's rules what `P` contains, of the protocols what `S` does.
#[derive(Debug)]
pub struct Device<P: WriterFeatures = OriginalFeatures, S: SessionFeatures = MuxWrites> {
    writer: Writer<DeviceStorage, P>,
    session: Session<REQUESTS, S>,
    names: &'static [&'static str; STREAMS],
    pending: [Option<Pending>; REQUESTS],
    requests: u32,
}

impl<P: WriterFeatures, S: SessionFeatures> Device<P, S> {
    /// A device whose connection was just made.
    #[must_use]
    pub fn new(now: Instant, names: &'static [&'static str; STREAMS]) -> Self {
        let count = StreamCount::new(STREAMS).expect("between 1 and the most");
        let settings = if P::BUDGET && P::HEALTH && P::ADAPTIVE {
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

    /// Takes a record.
    ///
    /// # Errors
    ///
    /// [`EnqueueError`].
    pub fn write(&mut self, now: Instant, record: &[u8]) -> Result<RecordId, EnqueueError> {
        self.writer.write(now, record)
    }

    /// Sends what there is.
    pub fn flush(&mut self) {
        self.writer.flush();
    }

    /// Takes no more records, and gives up what has not ended then.
    pub fn close(&mut self, now: Instant, by: Instant) {
        self.writer.close(now, by);
    }

    /// The next record that has ended.
    pub fn next_result(&mut self) -> Option<(RecordId, WriteResult)> {
        let record = self.writer.poll_completed()?;
        self.writer.take(record).map(|result| (record, result))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.writer
            .poll_timeout()
            .into_iter()
            .chain(self.session.poll_timeout())
            .min()
    }

    /// The time is `now`.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the connection is to be given up: close it, then
    /// [`handle_lost`](Self::handle_lost).
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        self.writer.handle_timeout(now);
        self.session.handle_timeout(now)
    }

    /// Writes what is to be sent into `out`, which has room for a record set and 256 bytes: how
    /// many bytes.
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

    /// The socket took so many of the bytes.
    pub fn handle_transmitted(&mut self, now: Instant, count: usize) {
        self.session.handle_transmitted(now, count);
    }

    /// Bytes came in: how many were read. 0 asks for more.
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

    /// The connection was lost, and another one was made.
    pub fn handle_lost(&mut self, now: Instant) {
        while let Some(lost) = self.session.poll_lost() {
            self.finish(
                now,
                lost.request,
                Err(Failure {
                    known: lost.known,
                    ..Failure::unanswered(Cause::ConnectionLost)
                }),
            );
        }
        self.session = connect(now);
    }

    fn finish(&mut self, now: Instant, request: RequestId, outcome: Result<Dlsn, Failure>) {
        let place = self
            .pending
            .get_mut(request.index())
            .and_then(|slot| slot.take_if(|pending| pending.request == request));
        if let Some(pending) = place {
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

/// What a proxy's answer to a write means.
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

/// Does whatever `what` says, so that a linker keeps all of a device.
pub fn step<P: WriterFeatures, S: SessionFeatures>(
    device: &mut Device<P, S>,
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
