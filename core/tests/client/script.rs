//! Plays scripts against a routing client: each line is a time, an event, and the actions that must
//! follow.
//!
//! ```text
//! 0   resolved A B          => connect A; connect B
//! 5   up A                  => handshake A
//! 10  submit 1 write        => send 1 A
//! 12  answer 1 302 B        => send 1 B
//! ```
//!
//! Times are milliseconds. Hosts are letters: A is 10.0.0.1:8000, B 10.0.0.2:8000 and so on; X, Y
//! and Z are names, x.example:8000 and so on. Requests are the script's own numbers. The stream is
//! one whose way round the ring of A, B and C is A, B, C.

use std::collections::HashMap;

use distributedlog::client::routing::{
    Action, Client, HostAddress, Operation, Resend, RetryPolicy, Settings, StreamKey, Submission,
    SubmitError, Success,
};
use distributedlog::client::{HostId, RequestId};
use distributedlog::wire::service::{
    BulkWriteResponse, ExceptionKind, Reply, ResponseHeader, ServerInfo, ServerStatus,
    WriteResponse,
};
use distributedlog::{Cause, Dlsn, Failure, Instant, StatusCode, WriteState};

/// Its first host clockwise is A, then B, then C.
pub(crate) const STREAM: &str = "stream-1";

pub(crate) type Machine = Client<4, 8, 4>;

pub(crate) struct Player {
    pub(crate) client: Machine,
    hosts: HashMap<String, HostId>,
    requests: HashMap<String, RequestId>,
    at_host: HashMap<RequestId, HostId>,
    greetings: HashMap<HostId, RequestId>,
}

/// Plays a script on a client with these settings.
pub(crate) fn play(settings: Settings, script: &str) -> Player {
    let mut player = Player::new(settings);
    player.play(script);
    player
}

impl Player {
    pub(crate) fn new(settings: Settings) -> Self {
        let client = Machine::new(settings, 1);
        Self {
            client,
            hosts: HashMap::new(),
            requests: HashMap::new(),
            at_host: HashMap::new(),
            greetings: HashMap::new(),
        }
    }

    pub(crate) fn play(&mut self, script: &str) {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (event, expected) = line.split_once("=>").unwrap_or((line, ""));
            let (time, event) = event
                .trim()
                .split_once(' ')
                .unwrap_or_else(|| panic!("no event in '{line}'"));
            let now = Instant::from_millis(
                time.parse()
                    .unwrap_or_else(|_| panic!("no time in '{line}'")),
            );
            let mut seen = self.happen(now, &event.split_whitespace().collect::<Vec<_>>());
            while let Some(action) = self.client.poll_action() {
                seen.push(self.describe(action));
            }
            let expected: Vec<&str> = expected
                .split(';')
                .map(str::trim)
                .filter(|action| !action.is_empty())
                .collect();
            assert_eq!(seen, expected, "after '{line}'");
        }
    }

    pub(crate) fn host(&self, name: &str) -> HostId {
        self.hosts[name]
    }

    pub(crate) fn request(&self, name: &str) -> RequestId {
        self.requests[name]
    }

    /// What a submission was refused for, if it was.
    fn happen(&mut self, now: Instant, words: &[&str]) -> Vec<String> {
        let client = &mut self.client;
        match *words {
            ["resolved", ref hosts @ ..] => {
                let hosts: Vec<_> = hosts.iter().map(|host| host_address(host)).collect();
                assert_eq!(client.handle_resolved(now, &hosts), 0);
                self.learn_hosts();
            }
            ["up", host] => self.client.handle_connected(now, self.hosts[host], 100),
            ["up", host, "for", capacity] => self.client.handle_connected(
                now,
                self.hosts[host],
                capacity.parse().expect("a number"),
            ),
            ["refused", host] => self.client.handle_connect_failed(now, self.hosts[host]),
            ["lost", host] => self.client.handle_disconnected(now, self.hosts[host]),
            ["drain", host] => self.client.handle_drain(now, self.hosts[host]),
            ["discarded", host] => self.client.handle_discarded(now, self.hosts[host]),
            ["found", host, "at", other] => {
                let address = host_address(other).address;
                self.client.handle_address(now, self.hosts[host], address);
                self.learn_hosts();
            }
            ["submit", request, ref operation @ ..] => return self.submit(now, request, operation),
            ["cancel", request] => {
                return vec![format!("{:?}", client.cancel(now, self.requests[request]))];
            }
            ["close", deadline] => client.close(
                now,
                Instant::from_millis(deadline.parse().expect("a number")),
            ),
            ["tick"] => client.handle_timeout(now),
            ["server-info", host, status, ref owners @ ..] => {
                self.handle_server_info(now, host, status, owners)
            }
            ["domain", host, ref name @ ..] => {
                let info = ServerInfo {
                    status: Some(ServerStatus::WriteAndAccept),
                    failure_domain: name.first().copied(),
                    ..ServerInfo::default()
                };
                let host = self.hosts[host];
                let reply = Reply::ServerInfo(info);
                client.handle_reply(now, host, self.greetings[&host], &reply);
            }
            ["handshake-failed", host] => {
                let host = self.hosts[host];
                let reply = Reply::Exception {
                    kind: ExceptionKind::InternalError,
                    message: "no",
                };
                client.handle_reply(now, host, self.greetings[&host], &reply);
            }
            ["answer", request, code, ref location @ ..] => {
                self.answer(now, request, code, location)
            }
            ["info", request] => {
                self.reply(now, request, &Reply::ServerInfo(ServerInfo::default()))
            }
            ["void", request] => self.reply(now, request, &Reply::Void),
            ["bulk", request, code] => {
                let header =
                    ResponseHeader::new(StatusCode::from_i32(code.parse().expect("a code")));
                self.reply(
                    now,
                    request,
                    &Reply::BulkWrite(BulkWriteResponse {
                        header,
                        responses: None,
                    }),
                );
            }
            ["exception", request, kind] => {
                let kind = if kind == "unknown-method" {
                    ExceptionKind::UnknownMethod
                } else {
                    ExceptionKind::InternalError
                };
                self.reply(
                    now,
                    request,
                    &Reply::Exception {
                        kind,
                        message: "no",
                    },
                );
            }
            ["failed", request, known, cause] => {
                let cause = match cause {
                    "refused" => Cause::Refused,
                    "lost" => Cause::ConnectionLost,
                    "full" => Cause::TransportFull,
                    "protocol" => Cause::ProtocolError,
                    other => panic!("no cause '{other}'"),
                };
                let failure = if known == "unknown" {
                    Failure::unanswered(cause)
                } else {
                    Failure::not_sent(cause)
                };
                let request = self.requests[request];
                client.handle_failed(now, self.at_host[&request], request, failure);
            }
            _ => panic!("no event {words:?}"),
        }
        Vec::new()
    }

    fn submit(&mut self, now: Instant, name: &str, words: &[&str]) -> Vec<String> {
        let operation = match words[0] {
            "write" => Operation::Write,
            "set" => Operation::WriteRecordSet,
            "bulk" => Operation::WriteBulk,
            "create" => Operation::Create,
            "delete" => Operation::Delete,
            "release" => Operation::Release,
            "truncate" => Operation::Truncate,
            "heartbeat" => Operation::Heartbeat,
            "owner" => Operation::Owner,
            "handshake" => Operation::Handshake,
            "accept" => Operation::SetAcceptNewStream,
            other => panic!("no operation '{other}'"),
        };
        let mut submission = Submission::to_stream(operation, StreamKey::of(STREAM));
        for pair in words[1..].chunks(2) {
            submission = match *pair {
                ["by", deadline] => submission
                    .with_deadline(Instant::from_millis(deadline.parse().expect("a number"))),
                ["once", "only"] => submission.with_retry_policy(RetryPolicy::OneRound),
                ["until", "deadline"] => {
                    submission.with_retry_policy(RetryPolicy::OneRoundUntilDeadline)
                }
                ["resend", "always"] => submission.with_resend(Resend::Always),
                ["resend", "after-answers"] => submission.with_resend(Resend::AfterAnswers),
                ["at", host] => Submission::to_host(operation, self.hosts[host]),
                _ => panic!("no option {pair:?}"),
            };
        }
        match self.client.submit(now, submission) {
            Ok(request) => {
                self.requests.insert(name.to_owned(), request);
                Vec::new()
            }
            Err(error @ (SubmitError::Full | SubmitError::Closed | SubmitError::UnknownHost)) => {
                vec![format!("{error:?}")]
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn handle_server_info(&mut self, now: Instant, host: &str, status: &str, owners: &[&str]) {
        let status = match status {
            "accept" => ServerStatus::WriteAndAccept,
            "write-only" => ServerStatus::WriteOnly,
            "down" => ServerStatus::Down,
            other => panic!("no status '{other}'"),
        };
        let owners: Vec<(&str, String)> = owners
            .iter()
            .map(|owner| (STREAM, location(owner)))
            .collect();
        let owners: Vec<(&str, &str)> = owners
            .iter()
            .map(|(stream, owner)| (*stream, owner.as_str()))
            .collect();
        let info = ServerInfo {
            ownerships: Some(owners.as_slice().into()),
            status: Some(status),
            failure_domain: None,
        };
        let host = self.hosts[host];
        self.client
            .handle_reply(now, host, self.greetings[&host], &Reply::ServerInfo(info));
        self.learn_hosts();
    }

    fn answer(&mut self, now: Instant, request: &str, code: &str, words: &[&str]) {
        let code = StatusCode::from_i32(code.parse().expect("a code"));
        let text = words.first().map(|host| {
            if *host == "nonsense" {
                "nonsense".to_owned()
            } else {
                location(host)
            }
        });
        let header = ResponseHeader {
            code,
            message: None,
            location: text.as_deref(),
        };
        let dlsn = Dlsn::new(1, 2, 0).to_text();
        let dlsn = (code == StatusCode::Success).then_some(dlsn.as_str());
        self.reply(now, request, &Reply::Write(WriteResponse { header, dlsn }));
        self.learn_hosts();
    }

    fn reply(&mut self, now: Instant, request: &str, reply: &Reply<'_>) {
        let request = self.requests[request];
        self.client
            .handle_reply(now, self.at_host[&request], request, reply);
    }

    fn learn_hosts(&mut self) {
        self.hosts = self
            .client
            .hosts()
            .map(|host| (letter(host.text), host.id))
            .collect();
    }

    fn host_name(&self, host: HostId) -> &str {
        self.hosts
            .iter()
            .find(|(_, id)| **id == host)
            .map_or("?", |(name, _)| name)
    }

    fn request_name(&self, request: RequestId) -> &str {
        self.requests
            .iter()
            .find(|(_, id)| **id == request)
            .map_or("greeting", |(name, _)| name)
    }

    fn describe(&mut self, action: Action) -> String {
        match action {
            Action::Connect { host } => format!("connect {}", self.host_name(host)),
            Action::Disconnect { host } => format!("disconnect {}", self.host_name(host)),
            Action::Send { request, host } => {
                self.at_host.insert(request, host);
                format!(
                    "send {} {}",
                    self.request_name(request),
                    self.host_name(host)
                )
            }
            Action::Handshake {
                request,
                host,
                ownerships,
            } => {
                self.greetings.insert(host, request);
                format!(
                    "handshake {}{}",
                    self.host_name(host),
                    if ownerships { "" } else { " briefly" }
                )
            }
            Action::Discard { request, host } => format!(
                "discard {} {}",
                self.request_name(request),
                self.host_name(host)
            ),
            Action::Complete {
                request, result, ..
            } => {
                let name = self.request_name(request);
                match result {
                    Ok(Success::Written(_)) => format!("written {name}"),
                    Ok(answer) => format!("{} {name}", format!("{answer:?}").to_lowercase()),
                    Err(failure) => format!("fail {name} {}", describe(&failure)),
                }
            }
        }
    }
}

fn describe(failure: &Failure) -> String {
    let cause = if let Cause::Status(code) = failure.cause {
        code.as_i32().to_string()
    } else {
        format!("{:?}", failure.cause)
    };
    let known = match failure.known {
        WriteState::NotWritten => "not-written",
        WriteState::Rejected => "rejected",
        WriteState::Unknown => "unknown",
    };
    format!("{cause} {known}")
}

/// A to F are addresses, X to Z names.
fn host_address(host: &str) -> HostAddress<'_> {
    let number = host.as_bytes()[0] - b'A' + 1;
    HostAddress {
        name: "",
        address: format!("10.0.0.{number}:8000").parse().expect("an address"),
        shard: -1,
    }
}

fn location(host: &str) -> String {
    if host < "X" {
        format!("1;7;10.0.0.{}:8000", host.as_bytes()[0] - b'A' + 1)
    } else {
        format!("1;7;{}.example:8000", host.to_lowercase())
    }
}

fn letter(text: &str) -> String {
    match text
        .strip_prefix("/10.0.0.")
        .and_then(|rest| rest.strip_suffix(":8000"))
    {
        Some(number) => char::from(b'A' + number.parse::<u8>().expect("a number") - 1).to_string(),
        None => text[..1].to_uppercase(),
    }
}
