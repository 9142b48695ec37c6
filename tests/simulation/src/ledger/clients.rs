//! Processes that use the ledger: the writer, and recoveries.

use std::collections::BTreeMap;

use distributedlog::Instant;
use distributedlog_bookkeeper::entry::MasterKey;
use distributedlog_bookkeeper::ledger::{
    ReadAnswer, Recovery, RecoveryOutput, RecoveryRequest, SendId, SendReply, Versioned, Writer,
    WriterOutput,
};
use distributedlog_bookkeeper::metadata::BookieId;
use distributedlog_bookkeeper::wire::{Reply, Request, Response};

/// A process with one state machine.
pub(super) struct Client {
    pub(super) machine: Machine,
    next_txn: u64,
    pub(super) in_flight: BTreeMap<u64, InFlight>,
    /// Number of the connection to each bookie; a lost one is followed by the next.
    pub(super) connections: Vec<u64>,
    /// Time of the latest delivery on each connection: a connection keeps its order.
    pub(super) latest: Vec<Instant>,
    /// Events wait until then: the process is stopped.
    pub(super) paused_until: Instant,
}

pub(super) enum Machine {
    Writer(Box<Writer>),
    Recovery(Box<Recovery>),
    /// Killed, or ended.
    Ended,
}

/// A request to a bookie that is not answered.
pub(super) struct InFlight {
    pub(super) bookie: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Send(SendId),
    Read(RecoveryRequest),
    WriteBack(RecoveryRequest),
}

/// An output, without the difference between the machines.
pub(super) enum Output {
    Request { bookie: BookieId, request: Request },
    Set(Versioned),
    Get { after: core::time::Duration },
    Writer(WriterOutput),
    Recovery(RecoveryOutput),
}

impl Client {
    pub(super) fn new(machine: Machine, bookies: usize) -> Self {
        Self {
            machine,
            next_txn: 0,
            in_flight: BTreeMap::new(),
            connections: vec![0; bookies],
            latest: vec![Instant::ZERO; bookies],
            paused_until: Instant::ZERO,
        }
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.machine, Machine::Ended)
    }

    /// The machine's next output. Requests are entered as in flight.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are results")]
    pub(super) fn poll(&mut self, ledger: i64, key: MasterKey) -> Option<Output> {
        let txn_id = self.next_txn;
        let (kind, bookie, request) = match &mut self.machine {
            Machine::Ended => return None,
            Machine::Writer(writer) => match writer.poll_output()? {
                WriterOutput::Send { send, bookie, body } => (
                    Kind::Send(send),
                    bookie,
                    send.add(txn_id, ledger, key, body),
                ),
                WriterOutput::SetMetadata(next) => return Some(Output::Set(next)),
                WriterOutput::ReadMetadata { after } => return Some(Output::Get { after }),
                other => return Some(Output::Writer(other)),
            },
            Machine::Recovery(recovery) => match recovery.poll_output()? {
                RecoveryOutput::Read { request, bookie } => (
                    Kind::Read(request),
                    bookie,
                    request.read(txn_id, ledger, key),
                ),
                RecoveryOutput::WriteBack {
                    request,
                    bookie,
                    body,
                } => {
                    let add = request.write_back(txn_id, ledger, key, body);
                    (Kind::WriteBack(request), bookie, add)
                }
                RecoveryOutput::SetMetadata(next) => return Some(Output::Set(next)),
                RecoveryOutput::ReadMetadata { after } => return Some(Output::Get { after }),
                other => return Some(Output::Recovery(other)),
            },
        };
        self.next_txn += 1;
        let index = bookie_index(&bookie);
        self.in_flight.insert(
            txn_id,
            InFlight {
                bookie: index,
                kind,
            },
        );
        Some(Output::Request { bookie, request })
    }

    /// Passes a response on, or with `None` that there will be none.
    pub(super) fn answer(&mut self, now: Instant, txn_id: u64, response: Option<&Response>) {
        let Some(InFlight { kind, .. }) = self.in_flight.remove(&txn_id) else {
            return; // It timed out before.
        };
        let sent = response.map_or(SendReply::Lost, |it| SendReply::Status(it.status()));
        match (&mut self.machine, kind) {
            (Machine::Writer(writer), Kind::Send(send)) => writer.handle_reply(now, send, sent),
            (Machine::Recovery(recovery), Kind::WriteBack(request)) => {
                recovery.handle_written(request, sent);
            }
            (Machine::Recovery(recovery), Kind::Read(request)) => {
                let answer = response.map_or(ReadAnswer::Unknown, |response| {
                    let body = match &response.reply {
                        Some(Reply::Read(read)) => read.body.clone(),
                        Some(_) | None => None,
                    };
                    ReadAnswer::of(response.status(), body)
                });
                recovery.handle_read(request, answer);
            }
            (Machine::Ended, _) => {}
            (Machine::Writer(_), Kind::Read(_) | Kind::WriteBack(_))
            | (Machine::Recovery(_), Kind::Send(_)) => panic!("a machine never changes its kind"),
        }
    }
}

/// Index of a simulated bookie.
pub(super) fn bookie_index(bookie: &BookieId) -> usize {
    let digits = bookie
        .as_str()
        .trim_start_matches("bookie-")
        .trim_end_matches(":3181");
    digits.parse().expect("the ids of simulated bookies")
}
