//! Messages, frames and bytes made from a seed.

use distributedlog::wire::framed::{self, HeaderContext, RequestHeader};
use distributedlog::wire::mux::{
    Context, Delegation, Frame, InitHeader, Message, Status, Tag, TraceKey,
};
use distributedlog::wire::record_set::{SetIdentity, WriterId};
use distributedlog::wire::service::{
    BulkWriteResponse, ClientInfo, ExceptionKind, HeartbeatOptions, Method, Reply, Request,
    ResponseHeader, ServerInfo, ServerStatus, WriteContext, WriteResponse,
};
use distributedlog::wire::{List, mux};
use distributedlog::{Dlsn, FailureDomain, StatusCode};

/// xorshift64*: the same numbers from the same seed, on every machine.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        rng.next();
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        bytes
            .iter_mut()
            .for_each(|byte| *byte = (self.next() >> 40) as u8);
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(2) {
            Some(make(self))
        } else {
            None
        }
    }
}

/// Says which seed a test was at when it fails.
pub(crate) struct Seed(pub(crate) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with the seed {}", self.0);
        }
    }
}

/// Bytes and text that messages borrow from.
pub(crate) struct Pool {
    bytes: Vec<u8>,
    text: String,
}

impl Pool {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut bytes = vec![0; 8192];
        rng.fill(&mut bytes);
        let letters: Vec<char> = "abcXYZ019-_./:;{}é世\u{1f980}\0\n ".chars().collect();
        let text = (0..4096).map(|_| *rng.pick(&letters)).collect();
        Self { bytes, text }
    }

    pub(crate) fn bytes(&self, rng: &mut Rng) -> &[u8] {
        let length = [0, 1, 20, 300][rng.below(4)];
        let start = rng.below(self.bytes.len() - length);
        &self.bytes[start..start + length]
    }

    pub(crate) fn text(&self, rng: &mut Rng) -> &str {
        let boundary = |mut at: usize| {
            while !self.text.is_char_boundary(at) {
                at += 1;
            }
            at
        };
        let start = rng.below(self.text.len() - 400);
        let length = [0, 1, 12, 250][rng.below(4)];
        &self.text[boundary(start)..boundary(start + length)]
    }
}

/// Elements that lists borrow from.
pub(crate) struct Elements<'a> {
    texts: Vec<&'a str>,
    blobs: Vec<&'a [u8]>,
    pairs: Vec<(&'a str, &'a str)>,
    responses: Vec<WriteResponse<'a>>,
    contexts: Vec<Context<'a>>,
    header_contexts: Vec<HeaderContext<'a>>,
    delegations: Vec<Delegation<'a>>,
    init_headers: Vec<InitHeader<'a>>,
    keys: Vec<TraceKey<'a>>,
}

/// Makes messages that borrow from a pool and its elements.
pub(crate) struct Generator<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) elements: &'a Elements<'a>,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(pool: &'a Pool, seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let count = 0..32;
        Self {
            texts: count.clone().map(|_| pool.text(rng)).collect(),
            blobs: count.clone().map(|_| pool.bytes(rng)).collect(),
            pairs: count
                .clone()
                .map(|_| (pool.text(rng), pool.text(rng)))
                .collect(),
            responses: count.clone().map(|_| write_response(rng, pool)).collect(),
            contexts: count.clone().map(|_| context(rng, pool)).collect(),
            header_contexts: count
                .clone()
                .map(|_| HeaderContext(context(rng, pool)))
                .collect(),
            delegations: count
                .clone()
                .map(|_| Delegation {
                    source: pool.text(rng),
                    destination: pool.text(rng),
                })
                .collect(),
            init_headers: count
                .clone()
                .map(|_| InitHeader {
                    key: pool.bytes(rng),
                    value: pool.bytes(rng),
                })
                .collect(),
            keys: count
                .map(|_| TraceKey {
                    key: rng.next() as u8,
                    value: short(pool.bytes(rng)),
                })
                .collect(),
        }
    }
}

/// Up to eight of `from`.
fn some<'a, T: Copy>(rng: &mut Rng, from: &'a [T]) -> &'a [T] {
    let start = rng.below(from.len());
    let end = (start + rng.below(9)).min(from.len());
    &from[start..end]
}

impl<'a> Generator<'a> {
    pub(crate) fn request(&self, rng: &mut Rng) -> Request<'a> {
        let (stream, context) = (self.pool.text(rng), self.write_context(rng));
        match rng.pick(&Method::ALL) {
            Method::Handshake => Request::Handshake,
            Method::HandshakeWithClientInfo => Request::HandshakeWithClientInfo {
                info: self.client_info(rng),
            },
            Method::Heartbeat => Request::Heartbeat { stream, context },
            Method::HeartbeatWithOptions => {
                let options = HeartbeatOptions {
                    send_to_reader: rng.maybe(|rng| rng.one_in(2)),
                };
                Request::HeartbeatWithOptions {
                    stream,
                    context,
                    options,
                }
            }
            Method::Write => Request::Write {
                stream,
                data: self.pool.bytes(rng),
            },
            Method::WriteWithContext => Request::WriteWithContext {
                stream,
                data: self.pool.bytes(rng),
                context,
            },
            Method::WriteBulkWithContext => Request::WriteBulkWithContext {
                stream,
                data: some(rng, &self.elements.blobs).into(),
                context,
            },
            Method::Truncate => Request::Truncate {
                stream,
                dlsn: self.pool.text(rng),
                context,
            },
            Method::Release => Request::Release { stream, context },
            Method::Create => Request::Create { stream, context },
            Method::Delete => Request::Delete { stream, context },
            Method::GetOwner => Request::GetOwner { stream, context },
            Method::SetAcceptNewStream => Request::SetAcceptNewStream {
                enabled: rng.one_in(2),
            },
        }
    }

    /// A reply and the name of a method that gives such replies.
    pub(crate) fn reply(&self, rng: &mut Rng) -> (&'a str, Reply<'a>) {
        match rng.below(5) {
            0 => ("handshake", Reply::ServerInfo(self.server_info(rng))),
            1 => ("getOwner", Reply::Write(write_response(rng, self.pool))),
            2 => {
                let responses = rng.maybe(|rng| some(rng, &self.elements.responses).into());
                let header = response_header(rng, self.pool);
                (
                    "writeBulkWithContext",
                    Reply::BulkWrite(BulkWriteResponse { header, responses }),
                )
            }
            3 => ("setAcceptNewStream", Reply::Void),
            _ => {
                let kind = ExceptionKind::from_i32(rng.next() as i32 % 10);
                (
                    self.pool.text(rng),
                    Reply::Exception {
                        kind,
                        message: self.pool.text(rng),
                    },
                )
            }
        }
    }

    pub(crate) fn frame(&self, rng: &mut Rng) -> Frame<'a> {
        let elements = self.elements;
        let (payload, text) = (self.pool.bytes(rng), self.pool.text(rng));
        let (status, discarded) = (
            *rng.pick(&[Status::Ok, Status::Error, Status::Nack]),
            tag(rng),
        );
        let message = match rng.pick(mux::FrameType::ALL) {
            mux::FrameType::Treq => Message::Treq {
                keys: some(rng, &elements.keys).into(),
                payload,
            },
            mux::FrameType::Rreq => Message::Rreq { status, payload },
            mux::FrameType::Tdispatch => Message::Tdispatch {
                contexts: some(rng, &elements.contexts).into(),
                destination: text,
                delegations: some(rng, &elements.delegations).into(),
                payload,
            },
            mux::FrameType::Rdispatch => Message::Rdispatch {
                status,
                contexts: some(rng, &elements.contexts).into(),
                payload,
            },
            mux::FrameType::Tdrain => Message::Tdrain,
            mux::FrameType::Rdrain => Message::Rdrain,
            mux::FrameType::Tping => Message::Tping,
            mux::FrameType::Rping => Message::Rping,
            mux::FrameType::Tdiscarded => Message::Tdiscarded {
                discarded,
                reason: text,
            },
            mux::FrameType::Rdiscarded => Message::Rdiscarded,
            mux::FrameType::Tlease => Message::Tlease {
                unit: rng.next() as u8,
                amount: rng.next(),
            },
            mux::FrameType::Tinit => Message::Tinit {
                version: rng.next() as u16,
                headers: some(rng, &elements.init_headers).into(),
            },
            mux::FrameType::Rinit => Message::Rinit {
                version: rng.next() as u16,
                headers: some(rng, &elements.init_headers).into(),
            },
            mux::FrameType::Rerr => Message::Rerr { error: text },
            mux::FrameType::BadRerr => Message::BadRerr { error: text },
            mux::FrameType::BadTdiscarded => Message::BadTdiscarded {
                discarded,
                reason: text,
            },
        };
        Frame::new(tag(rng), message)
    }

    pub(crate) fn request_header(&self, rng: &mut Rng) -> RequestHeader<'a> {
        RequestHeader {
            trace_id: rng.next() as i64,
            span_id: rng.next() as i64,
            parent_span_id: rng.maybe(|rng| rng.next() as i64),
            sampled: rng.maybe(|rng| rng.one_in(2)),
            client_id: rng.maybe(|rng| self.pool.text(rng)),
            flags: rng.maybe(|rng| rng.next() as i64),
            contexts: self.header_contexts(rng),
        }
    }

    pub(crate) fn response_header(&self, rng: &mut Rng) -> framed::ResponseHeader<'a> {
        framed::ResponseHeader {
            contexts: self.header_contexts(rng),
        }
    }

    fn header_contexts(&self, rng: &mut Rng) -> Option<framed::Contexts<'a>> {
        rng.maybe(|rng| some(rng, &self.elements.header_contexts).into())
    }

    fn write_context(&self, rng: &mut Rng) -> WriteContext<'a> {
        WriteContext {
            tried_hosts: rng.maybe(|rng| some(rng, &self.elements.texts).into()),
            crc32: rng.maybe(|rng| rng.next() as i64),
            is_record_set: rng.maybe(|rng| rng.one_in(2)),
            identity: rng.maybe(identity),
            attempt: rng.maybe(|rng| rng.next() as i32),
        }
    }

    fn client_info(&self, rng: &mut Rng) -> ClientInfo<'a> {
        ClientInfo {
            stream_name_regex: rng.maybe(|rng| self.pool.text(rng)),
            with_ownerships: rng.maybe(|rng| rng.one_in(2)),
        }
    }

    fn server_info(&self, rng: &mut Rng) -> ServerInfo<'a> {
        let ownerships = rng.maybe(|rng| List::from(some(rng, &self.elements.pairs)));
        ServerInfo {
            ownerships,
            status: rng.maybe(|rng| ServerStatus::from_i32(100 * (rng.below(5) as i32))),
            failure_domain: rng
                .maybe(|rng| self.pool.text(rng))
                .filter(|name| (1..=FailureDomain::MAX_NAME_BYTES).contains(&name.len())),
        }
    }
}

pub(crate) fn identity(rng: &mut Rng) -> SetIdentity {
    let mut writer = [0; 16];
    rng.fill(&mut writer);
    SetIdentity {
        writer: WriterId(writer),
        sequence: rng.next(),
    }
}

pub(crate) fn position(rng: &mut Rng) -> Dlsn {
    let part = |rng: &mut Rng| {
        [
            rng.next() as i64,
            rng.below(100) as i64,
            -1,
            i64::MIN,
            i64::MAX,
        ][rng.below(5)]
    };
    Dlsn::new(part(rng), part(rng), part(rng))
}

fn tag(rng: &mut Rng) -> Tag {
    Tag::new(rng.next() as u32 & Tag::MAX.get()).expect("23 bits")
}

fn context<'a>(rng: &mut Rng, pool: &'a Pool) -> Context<'a> {
    Context {
        key: pool.bytes(rng),
        value: pool.bytes(rng),
    }
}

fn response_header<'a>(rng: &mut Rng, pool: &'a Pool) -> ResponseHeader<'a> {
    ResponseHeader {
        code: StatusCode::from_i32([200, 302, 500, 523, 7, -1][rng.below(6)]),
        message: rng.maybe(|rng| pool.text(rng)),
        location: rng.maybe(|rng| pool.text(rng)),
    }
}

fn write_response<'a>(rng: &mut Rng, pool: &'a Pool) -> WriteResponse<'a> {
    WriteResponse {
        header: response_header(rng, pool),
        dlsn: rng.maybe(|rng| pool.text(rng)),
    }
}

/// As many bytes as an 8-bit length can say.
fn short(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(255)]
}
