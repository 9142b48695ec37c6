//! Anything, in any order: nothing panics, each request completes once and by its deadline, and
//! nothing is left behind.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use distributedlog::client::routing::{
    Action, Client, HostAddress, Operation, Resend, RetryPolicy, Settings, StreamKey, Submission,
    SubmitError,
};
use distributedlog::client::{HostId, RequestId};
use distributedlog::wire::service::{
    BulkWriteResponse, ExceptionKind, Reply, ResponseHeader, ServerInfo, ServerStatus,
    WriteResponse,
};
use distributedlog::{Cause, Failure, Instant, StatusCode};

use crate::simulation::dice::Dice;

type Machine = Client<4, 5, 6>;

const OPERATIONS: [Operation; 11] = [
    Operation::Write,
    Operation::WriteRecordSet,
    Operation::WriteBulk,
    Operation::Create,
    Operation::Delete,
    Operation::Truncate,
    Operation::Release,
    Operation::Heartbeat,
    Operation::Owner,
    Operation::Handshake,
    Operation::SetAcceptNewStream,
];
const CODES: [i32; 12] = [200, 200, 302, 302, 302, 413, 500, 503, 515, 517, 524, 9999];
const LOCATIONS: [&str; 7] = [
    "1;1;10.0.0.1:8000",
    "1;2;10.0.0.2:8000",
    "1;3;10.0.0.3:8000",
    "1;4;x.example:1",
    "1;5;y.example:2",
    "1;6;[::1]:3",
    "nonsense",
];

struct Storm {
    client: Machine,
    dice: Dice,
    now: Instant,
    hosts: VecDeque<HostId>,
    seen: VecDeque<(RequestId, HostId)>,
    open: HashMap<RequestId, Instant>,
}

impl Storm {
    fn host(&mut self) -> HostId {
        let known = self.hosts.len() as u64;
        if known == 0 {
            HostId::new(self.dice.below(6) as u16, 0)
        } else {
            self.hosts[self.dice.below(known) as usize]
        }
    }

    fn pair(&mut self) -> (RequestId, HostId) {
        let known = self.seen.len() as u64;
        if known == 0 || self.dice.percent(3) {
            (
                RequestId::new(self.dice.below(12) as u32, self.dice.below(3) as u32),
                self.host(),
            )
        } else {
            // Mostly a request that is in flight now, sometimes an old one.
            let back = if self.dice.percent(70) {
                known.min(6)
            } else {
                known
            };
            self.seen[(known - 1 - self.dice.below(back)) as usize]
        }
    }

    fn submit(&mut self) {
        let operation = OPERATIONS[self.dice.below(11) as usize];
        let stream = StreamKey::of(&format!("s{}", self.dice.below(6)));
        let mut submission = Submission::to_stream(operation, stream);
        if matches!(
            operation,
            Operation::Handshake | Operation::SetAcceptNewStream
        ) {
            submission = Submission::to_host(operation, self.host());
        }
        submission.resend =
            [None, Some(Resend::Always), Some(Resend::AfterAnswers)][self.dice.below(3) as usize];
        submission.retry_policy = if self.dice.percent(50) {
            RetryPolicy::OneRound
        } else {
            RetryPolicy::UntilDeadline
        };
        submission.deadline = self
            .dice
            .percent(70)
            .then(|| self.now + Duration::from_micros(self.dice.below(2_000_000)));
        match self.client.submit(self.now, submission) {
            Ok(request) => {
                let deadline = submission.deadline.unwrap_or(Instant::MAX);
                assert!(
                    self.open.insert(request, deadline.max(self.now)).is_none(),
                    "an id is not used twice"
                );
            }
            Err(SubmitError::Full) => assert!(self.client.requests() == 6),
            Err(_) => {}
        }
    }

    fn reply(&mut self) {
        let (request, host) = self.pair();
        let code = StatusCode::from_i32(CODES[self.dice.below(12) as usize]);
        let location = self
            .dice
            .percent(80)
            .then(|| LOCATIONS[self.dice.below(7) as usize]);
        let header = ResponseHeader {
            code,
            message: None,
            location,
        };
        let dlsn = self
            .dice
            .percent(90)
            .then_some("AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAA==");
        let owners = [("s1", LOCATIONS[self.dice.below(7) as usize]), ("s9", "x")];
        let status = [
            ServerStatus::WriteAndAccept,
            ServerStatus::WriteOnly,
            ServerStatus::Down,
            ServerStatus::Other(5),
        ];
        let info = ServerInfo {
            ownerships: Some((&owners).into()),
            status: Some(status[self.dice.below(4) as usize]),
            failure_domain: [None, Some("disk-1")][self.dice.below(2) as usize],
        };
        let reply = match self.dice.below(9) {
            0 => Reply::Void,
            1 => Reply::BulkWrite(BulkWriteResponse {
                header,
                responses: None,
            }),
            2 => Reply::Exception {
                kind: ExceptionKind::InternalError,
                message: "",
            },
            3 => Reply::Exception {
                kind: ExceptionKind::UnknownMethod,
                message: "",
            },
            4..6 => Reply::ServerInfo(info),
            _ => Reply::Write(WriteResponse { header, dlsn }),
        };
        self.client.handle_reply(self.now, host, request, &reply);
    }

    fn fail(&mut self) {
        let (request, host) = self.pair();
        let causes = [
            Cause::Refused,
            Cause::ConnectionLost,
            Cause::ProtocolError,
            Cause::TransportFull,
            Cause::TimedOut,
        ];
        let cause = causes[self.dice.below(5) as usize];
        let failure = if self.dice.percent(50) {
            Failure::not_sent(cause)
        } else {
            Failure::unanswered(cause)
        };
        self.client.handle_failed(self.now, host, request, failure);
    }

    fn resolve(&mut self) {
        let address = |host: u64| format!("10.0.0.{host}:8000").parse().expect("an address");
        let mask = self.dice.below(64);
        let hosts: Vec<HostAddress<'_>> = (0..6)
            .filter(|host| mask & (1 << host) != 0)
            .map(|host| HostAddress {
                name: if host == 3 { "h" } else { "" },
                address: address(host),
                shard: -1,
            })
            .collect();
        self.client.handle_resolved(self.now, &hosts);
    }

    fn happen(&mut self) {
        let host = self.host();
        match self.dice.below(100) {
            0..25 => self.submit(),
            25..55 => self.reply(),
            55..63 => self.fail(),
            63..75 => {
                let capacity = self.dice.below(5) as u32;
                self.client.handle_connected(self.now, host, capacity);
            }
            75..78 => self.client.handle_connect_failed(self.now, host),
            78..81 => self.client.handle_disconnected(self.now, host),
            81..82 => self.client.handle_drain(self.now, host),
            82..85 => self.client.handle_discarded(self.now, host),
            85..87 => {
                let address = format!("10.0.0.{}:8000", self.dice.below(5))
                    .parse()
                    .expect("an address");
                self.client.handle_address(self.now, host, address);
            }
            87..88 => self.resolve(),
            88..89 => self.client.handshake(self.now),
            89..91 => {
                let (request, _) = self.pair();
                if self.client.cancel(self.now, request).is_some() {
                    assert!(
                        self.open.remove(&request).is_some(),
                        "only what was open can be cancelled"
                    );
                }
            }
            _ => {
                let next = self.client.poll_timeout().filter(|_| self.dice.percent(70));
                let jump = Duration::from_micros(self.dice.below(300_000));
                self.now = next.unwrap_or_else(|| self.now + jump).max(self.now);
                self.client.handle_timeout(self.now);
            }
        }
    }

    fn poll(&mut self) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Connect { host } => self.hosts.push_back(host),
                Action::Send { request, host } | Action::Handshake { request, host, .. } => {
                    self.seen.push_back((request, host))
                }
                Action::Disconnect { .. } | Action::Discard { .. } => {}
                Action::Complete { request, .. } => {
                    let deadline = self
                        .open
                        .remove(&request)
                        .expect("a request completes once");
                    // The storm jumps over timers, but never further than it has just done.
                    assert!(
                        self.now <= deadline + Duration::from_millis(300),
                        "a request ends by its deadline"
                    );
                }
            }
            self.hosts.truncate(8);
            while self.seen.len() > 30 {
                self.seen.pop_front();
            }
        }
    }
}

#[test]
fn events_in_any_order_break_nothing() {
    for seed in 0..20 {
        let settings = Settings::builder()
            .attempt_timeout(Duration::from_millis(400))
            .blackout_max(Duration::from_millis(500));
        let client = Machine::new(settings.build().expect("valid"), seed);
        let mut storm = Storm {
            client,
            dice: Dice(seed),
            now: Instant::ZERO,
            hosts: VecDeque::new(),
            seen: VecDeque::new(),
            open: HashMap::new(),
        };
        for _ in 0..4_000 {
            storm.happen();
            storm.poll();
            if storm.dice.percent(5) {
                storm.hosts.pop_front();
            }
        }
        storm
            .client
            .close(storm.now, storm.now + Duration::from_secs(1));
        storm.poll();
        let mut turns = 0;
        while let Some(at) = storm
            .client
            .poll_timeout()
            .filter(|_| !storm.client.is_closed())
        {
            turns += 1;
            assert!(turns < 1_000, "time alone ends it");
            storm.now = storm.now.max(at);
            storm.client.handle_timeout(storm.now);
            storm.poll();
        }
        assert!(
            storm.client.is_closed() && storm.open.is_empty(),
            "closing leaves nothing: {:?}",
            storm.open
        );
    }
}
