//! Toy proxies: they own streams, redirect, refuse, stall, fail before and after they carried
//! something out, hang up and drain.

use core::time::Duration;
use std::collections::HashMap;

use distributedlog::client::session::Protocol;
use distributedlog::wire::framed::{self, RequestHeader};
use distributedlog::wire::mux::{self, Frame, INIT_CHECK, InitHeaders, Message, Tag};
use distributedlog::wire::service::{
    BulkWriteResponse, ExceptionKind, Reply, Request, ResponseHeader, SequenceId, ServerInfo,
    ServerStatus, WriteResponse,
};
use distributedlog::{Dlsn, StatusCode};

use super::dice::Dice;

/// How many proxies there are. Names lead to all but the last, which the others know.
pub(crate) const PROXIES: usize = 4;

/// What all proxies share.
pub(crate) struct World {
    /// Where each record was written, by the number in it.
    pub(crate) log: HashMap<u64, Vec<Dlsn>>,
    owners: HashMap<String, usize>,
    entries: i64,
    /// Nothing goes wrong any more.
    pub(crate) calm: bool,
    pub(crate) dice: Dice,
}

/// One connection, seen from the proxy.
pub(crate) struct Server {
    proxy: usize,
    protocol: Protocol,
    upgraded: bool,
    knows_init: bool,
    inbox: Vec<u8>,
    /// Requests that it received and will not reply to.
    stalled: Vec<(Tag, &'static str)>,
}

/// What a proxy does, after a while.
pub(crate) enum Reaction {
    Says(Duration, Vec<u8>),
    HangsUp(Duration),
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            log: HashMap::new(),
            owners: HashMap::new(),
            entries: 0,
            calm: false,
            dice: Dice(seed),
        }
    }

    /// The stream's owner, which changes now and then.
    fn owner(&mut self, stream: &str) -> usize {
        let moves = !self.calm && self.dice.percent(2);
        let random = self.dice.below(PROXIES as u64) as usize;
        let owner = self.owners.entry(stream.to_owned()).or_insert(random);
        if moves {
            *owner = random;
        }
        *owner
    }

    fn write(&mut self, record: &[u8]) -> Dlsn {
        let number = u64::from_be_bytes(record.try_into().expect("a record is a number"));
        self.entries += 1;
        let dlsn = Dlsn::new(1, self.entries, 0);
        self.log.entry(number).or_default().push(dlsn);
        dlsn
    }

    fn soon(&mut self) -> Duration {
        let slow = !self.calm && self.dice.percent(5);
        Duration::from_micros(100 + self.dice.below(if slow { 1_500_000 } else { 5_000 }))
    }
}

pub(crate) fn location(proxy: usize) -> String {
    if proxy + 1 == PROXIES {
        "1;9;last.example:8000".to_owned()
    } else {
        format!("1;{proxy};10.0.0.{}:8000", proxy + 1)
    }
}

impl Server {
    pub(crate) fn new(proxy: usize, protocol: Protocol, knows_init: bool) -> Self {
        Self {
            proxy,
            protocol,
            upgraded: false,
            knows_init,
            inbox: Vec::new(),
            stalled: Vec::new(),
        }
    }

    /// The client's bytes came in.
    pub(crate) fn receive(&mut self, bytes: &[u8], world: &mut World) -> Vec<Reaction> {
        self.inbox.extend_from_slice(bytes);
        let mut reactions = Vec::new();
        while let Some(length) = mux::frame_len(&self.inbox, 1 << 20)
            .expect("no client sends more")
            .filter(|length| *length <= self.inbox.len())
        {
            let frame: Vec<u8> = self.inbox.drain(..length).collect();
            match self.protocol {
                Protocol::ThriftMux => self.mux(&frame, world, &mut reactions),
                Protocol::Thrift | Protocol::PlainThrift => {
                    self.framed(&frame, world, &mut reactions)
                }
            }
        }
        reactions
    }

    /// Answers everything that it had not meant to answer.
    pub(crate) fn calm_down(&mut self) -> Vec<Vec<u8>> {
        let reply = Reply::Exception {
            kind: ExceptionKind::InternalError,
            message: "late",
        };
        let stalled = core::mem::take(&mut self.stalled);
        stalled
            .into_iter()
            .map(|(tag, method)| self.encode(tag, method, &reply))
            .collect()
    }

    fn mux(&mut self, bytes: &[u8], world: &mut World, reactions: &mut Vec<Reaction>) {
        let frame = Frame::decode(bytes).expect("the client writes good frames");
        let answer = match frame.message {
            Message::BadRerr { error } => {
                assert_eq!(error, INIT_CHECK);
                if self.knows_init {
                    Message::BadRerr { error }
                } else {
                    Message::Rerr { error: "what?" }
                }
            }
            Message::Tinit { version, .. } => Message::Rinit {
                version,
                headers: InitHeaders::default(),
            },
            Message::Tping if !world.calm && world.dice.percent(3) => return,
            Message::Tping => Message::Rping,
            Message::Rdrain => return reactions.push(Reaction::HangsUp(Duration::from_secs(2))),
            Message::Tdiscarded { discarded, .. } => {
                let Some(index) = self.stalled.iter().position(|(tag, _)| *tag == discarded) else {
                    return;
                };
                if world.calm || world.dice.percent(60) {
                    self.stalled.swap_remove(index);
                    reactions.push(Reaction::Says(
                        world.soon(),
                        encode(&Frame::new(discarded, Message::Rdiscarded)),
                    ));
                }
                return;
            }
            Message::Tdispatch {
                contexts, payload, ..
            } => {
                assert_eq!(contexts.client_id(), Some("simulated"));
                let (_, request) =
                    Request::decode(payload).expect("the client writes good requests");
                return self.serve(frame.tag, &request, world, reactions);
            }
            Message::Treq { .. }
            | Message::Rreq { .. }
            | Message::Rdispatch { .. }
            | Message::Tdrain
            | Message::Rping
            | Message::Rdiscarded
            | Message::Tlease { .. }
            | Message::Rinit { .. }
            | Message::Rerr { .. }
            | Message::BadTdiscarded { .. } => panic!("no client says {:?}", frame.message),
        };
        reactions.push(Reaction::Says(
            world.soon(),
            encode(&Frame::new(frame.tag, answer)),
        ));
    }

    fn framed(&mut self, bytes: &[u8], world: &mut World, reactions: &mut Vec<Reaction>) {
        let body = framed::frame_body(bytes).expect("a frame");
        if let Some(sequence_id) = framed::upgrade_request(body) {
            let mut out = vec![0; 256];
            self.upgraded = self.knows_init;
            let count = if self.upgraded {
                framed::encode_upgrade_reply(sequence_id, &mut out)
            } else {
                framed::encode_upgrade_refusal(sequence_id, &mut out)
            };
            out.truncate(count.expect("room"));
            return reactions.push(Reaction::Says(world.soon(), out));
        }
        assert!(
            self.stalled.is_empty() || world.calm,
            "one request at a time"
        );
        let message = if self.upgraded {
            RequestHeader::decode(body).expect("a header").1
        } else {
            body
        };
        let (_, request) = Request::decode(message).expect("the client writes good requests");
        self.serve(Tag::ONE, &request, world, reactions);
    }

    fn serve(
        &mut self,
        tag: Tag,
        request: &Request<'_>,
        world: &mut World,
        reactions: &mut Vec<Reaction>,
    ) {
        let method = request.method().name();
        let roll = if world.calm {
            99
        } else {
            world.dice.below(100)
        };
        match roll {
            0 => return reactions.push(Reaction::HangsUp(world.soon())),
            1 => {
                self.carry_out(request, world);
                return reactions.push(Reaction::HangsUp(world.soon()));
            }
            2 => return self.stalled.push((tag, method)),
            3 => {
                self.carry_out(request, world);
                return self.stalled.push((tag, method));
            }
            4 if self.protocol == Protocol::ThriftMux => {
                let nack = Message::Rdispatch {
                    status: mux::Status::Nack,
                    contexts: mux::Contexts::default(),
                    payload: b"busy",
                };
                return reactions
                    .push(Reaction::Says(world.soon(), encode(&Frame::new(tag, nack))));
            }
            5 if self.protocol == Protocol::ThriftMux && world.dice.percent(20) => {
                reactions.push(Reaction::Says(
                    world.soon(),
                    encode(&Frame::new(Tag::ONE, Message::Tdrain)),
                ));
            }
            _ => {}
        }
        let bytes = self.answer(tag, method, request, roll, world);
        reactions.push(Reaction::Says(world.soon(), bytes));
    }

    fn answer(
        &self,
        tag: Tag,
        method: &str,
        request: &Request<'_>,
        roll: u64,
        world: &mut World,
    ) -> Vec<u8> {
        let Some(stream) = request.stream() else {
            let location = location(self.proxy);
            let owned: Vec<(&str, &str)> = world
                .owners
                .iter()
                .filter(|(_, owner)| **owner == self.proxy)
                .map(|(name, _)| (name.as_str(), location.as_str()))
                .collect();
            let status = [
                ServerStatus::WriteAndAccept,
                ServerStatus::WriteOnly,
                ServerStatus::Down,
            ][if roll > 12 { 0 } else { roll as usize % 3 }];
            let info = ServerInfo {
                ownerships: Some(owned.as_slice().into()),
                status: Some(status),
                failure_domain: None,
            };
            return self.encode(tag, method, &Reply::ServerInfo(info));
        };
        let owner = world.owner(stream);
        let (bulk, to) = (
            matches!(request, Request::WriteBulkWithContext { .. }),
            location(owner),
        );
        let header = match roll {
            // Answers of which the client says that nothing was carried out: nothing is.
            6 => ResponseHeader::new(StatusCode::StreamUnavailable),
            7 => ResponseHeader::new(StatusCode::ServiceUnavailable),
            8 => ResponseHeader::new(StatusCode::TooManyStreams),
            9 => ResponseHeader::new(StatusCode::OverCapacity),
            10 => ResponseHeader::new(StatusCode::TooLargeRecord),
            // Answers that leave it open.
            11 => ResponseHeader::new(StatusCode::InternalServerError),
            12 => {
                self.carry_out(request, world);
                ResponseHeader::new(StatusCode::LockingException)
            }
            13 => {
                let reply = Reply::Exception {
                    kind: ExceptionKind::UnknownMethod,
                    message: "what?",
                };
                return self.encode(tag, method, &reply);
            }
            _ if owner != self.proxy && bulk => ResponseHeader::new(StatusCode::StreamUnavailable),
            _ if owner != self.proxy => ResponseHeader::found(&to),
            _ => ResponseHeader::new(StatusCode::Success),
        };
        let dlsn = (header.code == StatusCode::Success)
            .then(|| self.carry_out(request, world))
            .flatten()
            .map(Dlsn::to_text);
        let response = WriteResponse {
            header,
            dlsn: dlsn.as_ref().map(|dlsn| dlsn.as_str()),
        };
        let each = [WriteResponse {
            header: ResponseHeader::new(StatusCode::Success),
            ..response
        }];
        let reply = if bulk {
            Reply::BulkWrite(BulkWriteResponse {
                header,
                responses: (header.code == StatusCode::Success).then(|| (&each).into()),
            })
        } else {
            Reply::Write(response)
        };
        self.encode(tag, method, &reply)
    }

    fn carry_out(&self, request: &Request<'_>, world: &mut World) -> Option<Dlsn> {
        if let Request::WriteWithContext { data, context, .. } = request {
            assert!(
                !context
                    .tried_hosts
                    .expect("the hosts that it was sent to")
                    .is_empty()
            );
            return Some(world.write(data));
        }
        let Request::WriteBulkWithContext { data, .. } = request else {
            return None;
        };
        data.iter().map(|record| world.write(record)).last()
    }

    fn encode(&self, tag: Tag, method: &str, reply: &Reply<'_>) -> Vec<u8> {
        let mut out = vec![0; 4096];
        let empty = framed::ResponseHeader::default();
        let count = match self.protocol {
            Protocol::ThriftMux => mux::encode_reply(tag, method, SequenceId(0), reply, &mut out),
            Protocol::Thrift | Protocol::PlainThrift => framed::encode_reply(
                self.upgraded.then_some(&empty),
                method,
                SequenceId(0),
                reply,
                &mut out,
            ),
        };
        out.truncate(count.expect("room"));
        out
    }
}

fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = vec![0; frame.encoded_len()];
    frame.encode(&mut out).expect("room");
    out
}
