//! Cost of the write proxy client alone: routing a request and its reply, a session's frames, a
//! stream's place on the ring.
//!
//! `cargo bench -p distributedlog-tests --bench client`, with a filter behind it for some of them.
#![allow(
    missing_docs,
    reason = "criterion's macros make items without documentation"
)]

use core::hint::black_box;
use core::time::Duration;
use std::collections::VecDeque;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use distributedlog::client::routing::{
    Action, Client, HostAddress, Operation, Settings, StreamKey, Submission,
};
use distributedlog::client::session::{self, Envelope, Event, Protocol, Session};
use distributedlog::client::{HostId, RequestId};
use distributedlog::wire::mux::{self, Frame, InitHeaders, Message, Tag};
use distributedlog::wire::service::{Reply, Request, SequenceId, WriteContext, WriteResponse};
use distributedlog::{Dlsn, Instant};

const REQUESTS: usize = 8_192;
type Machine = Client<16, 64, REQUESTS>;

/// A client with three connected hosts. On a stack of its own: in an unoptimised build the tables
/// pass over it.
fn machine() -> Box<Machine> {
    let make = || {
        let mut client = Box::new(Machine::new(Settings::default(), 1));
        let hosts = [1, 2, 3].map(|host| HostAddress {
            name: "",
            address: ([10, 0, 0, host], 8000).into(),
            shard: -1,
        });
        client.handle_resolved(Instant::ZERO, &hosts);
        while let Some(action) = client.poll_action() {
            if let Action::Connect { host } = action {
                client.handle_connected(Instant::ZERO, host, u32::MAX);
            }
        }
        client
    };
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(make)
        .expect("a thread")
        .join()
        .expect("a client")
}

/// One request is completed, and the next one submitted and sent, while this number of others is in
/// flight.
fn routing(c: &mut Criterion) {
    let mut group = c.benchmark_group("routing");
    group
        .measurement_time(Duration::from_secs(3))
        .throughput(Throughput::Elements(1));
    let streams: Vec<StreamKey> = (3..8)
        .map(|stream| StreamKey::of(&format!("basic-stream-{stream}")))
        .collect();
    let dlsn = Dlsn::new(1, 2, 0).to_text();
    let reply = Reply::Write(WriteResponse::success(Some(dlsn.as_str())));
    for under_way in [1, 64, 1_024, 8_191] {
        let mut client = machine();
        let mut sent: VecDeque<(RequestId, HostId)> = VecDeque::with_capacity(REQUESTS);
        let mut micros = 0;
        let mut turn =
            |client: &mut Machine, sent: &mut VecDeque<(RequestId, HostId)>, answers: bool| {
                micros += 1;
                // A second's attempts are not to time out.
                let now = Instant::from_micros(micros / 100);
                if answers && let Some((request, host)) = sent.pop_front() {
                    client.handle_reply(now, host, request, &reply);
                }
                let submission = Submission::to_stream(
                    Operation::WriteRecordSet,
                    streams[micros as usize % streams.len()],
                );
                client.submit(now, submission).expect("room");
                while let Some(action) = client.poll_action() {
                    if let Action::Send { request, host } = action {
                        sent.push_back((request, host));
                    }
                }
                black_box(client.poll_timeout());
            };
        for _ in 0..under_way {
            turn(&mut client, &mut sent, false);
        }
        group.bench_function(format!("request/{under_way}"), |b| {
            b.iter(|| turn(&mut client, &mut sent, true))
        });
    }
    group.finish();
}

/// One request is encoded and its reply decoded.
fn sessions(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    group.measurement_time(Duration::from_secs(3));
    let settings = session::Settings::builder()
        .protocol(Protocol::ThriftMux)
        .client_id("bench")
        .build()
        .expect("valid settings");
    let mut session = Box::new(Session::<1024>::new(Instant::ZERO, settings, 1));
    let mut out = vec![0; 32 * 1024];
    session.poll_transmit(&mut out);
    for message in [
        Message::BadRerr {
            error: mux::INIT_CHECK,
        },
        Message::Rinit {
            version: 1,
            headers: InitHeaders::default(),
        },
    ] {
        let count = Frame::new(Tag::ONE, message)
            .encode(&mut out)
            .expect("room");
        session
            .handle_received(Instant::ZERO, &out[..count])
            .expect("a good answer");
    }
    let dlsn = Dlsn::new(1, 2, 0).to_text();
    let reply = Reply::Write(WriteResponse::success(Some(dlsn.as_str())));
    let mut answer = [0; 256];
    let tag = Tag::new(2).expect("the first request's");
    let count = mux::encode_reply(tag, "writeWithContext", SequenceId(0), &reply, &mut answer)
        .expect("room");
    for size in [100, 16 * 1024] {
        let data = vec![7; size];
        let tried = ["/10.0.0.1:8000"];
        let context = WriteContext {
            tried_hosts: Some((&tried).into()),
            crc32: Some(1),
            is_record_set: Some(true),
            ..WriteContext::default()
        };
        let message = Request::WriteWithContext {
            stream: "basic-stream-3",
            data: &data,
            context,
        };
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("request and answer/{size}"), |b| {
            b.iter(|| {
                let envelope = Envelope {
                    trace: None,
                    deadline: Some(mux::Deadline {
                        timestamp_ns: 1,
                        deadline_ns: 2,
                    }),
                };
                session
                    .encode_request(
                        Instant::ZERO,
                        RequestId::new(1, 1),
                        &message,
                        &envelope,
                        &mut out,
                    )
                    .expect("room");
                let (_, event) = session
                    .handle_received(Instant::ZERO, black_box(&answer[..count]))
                    .expect("an answer");
                assert!(matches!(event, Some(Event::Reply { .. })));
            });
        });
    }
    group.finish();
}

/// A stream whose owner is not known is placed among three hosts for the first time.
fn ring(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    group.measurement_time(Duration::from_secs(3));
    let mut number = 0_u64;
    group.bench_function("key", |b| {
        b.iter(|| StreamKey::of(black_box("basic-stream-3")))
    });
    let mut client = machine();
    group.bench_function("first request of a stream, 3 hosts", |b| {
        b.iter(|| {
            number += 1;
            let stream = StreamKey::of(&format!("stream-{number}"));
            let request = client
                .submit(
                    Instant::ZERO,
                    Submission::to_stream(Operation::Write, stream),
                )
                .expect("room");
            client.cancel(Instant::ZERO, request);
            while client.poll_action().is_some() {}
        });
    });
    group.finish();
}

criterion_group!(benches, routing, sessions, ring);
criterion_main!(benches);
