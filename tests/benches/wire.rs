//! Cost of parsing and encoding: frames of each kind, record sets, checksums, LZ4.
//!
//! `cargo bench -p distributedlog-tests --bench wire`, with a filter behind it for some of them.
#![allow(
    missing_docs,
    reason = "criterion's macros make items without documentation"
)]

use core::hint::black_box;
use core::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use distributedlog::Dlsn;
use distributedlog::StatusCode;
use distributedlog::wire::crc;
use distributedlog::wire::framed::{self, HeaderContext, RequestHeader};
use distributedlog::wire::mux::{
    self, Context, Deadline, Frame, InitHeaders, Message, Tag, TraceId,
};
use distributedlog::wire::record_set::{
    HEADER_BYTES, Lz4Table, MAX_PAYLOAD_BYTES, RecordSet, RecordSetBuilder, SetIdentity, WriterId,
    max_compressed_len,
};
use distributedlog::wire::service::{
    BulkWriteResponse, Reply, Request, ResponseHeader, SequenceId, ServerInfo, ServerStatus,
    WriteContext, WriteResponse,
};

const TAG: Tag = Tag::ONE;
const ZERO: SequenceId = SequenceId(0);

/// Payload sizes: a small record, a usual record set, the largest one.
const PAYLOADS: [usize; 3] = [100, 16 * 1024, 1_000_000];

fn requests(c: &mut Criterion) {
    let (trace, deadline) = (
        TraceId::root(7).to_bytes(),
        Deadline {
            timestamp_ns: 1,
            deadline_ns: 2,
        }
        .to_bytes(),
    );
    let contexts = [
        Context::client_id("bench"),
        Context::trace(&trace),
        Context::deadline(&deadline),
    ];
    let header_contexts = contexts.map(HeaderContext);
    let header = RequestHeader {
        client_id: Some("bench"),
        flags: Some(0),
        contexts: Some((&header_contexts).into()),
        ..RequestHeader::default()
    };
    let mut group = quick(c, "request");
    for size in PAYLOADS {
        let payload = vec![7; size];
        let context = WriteContext {
            crc32: Some(1),
            is_record_set: Some(true),
            ..WriteContext::default()
        };
        let write = Request::WriteWithContext {
            stream: "basic-stream-3",
            data: &payload,
            context,
        };
        let mut out = vec![0; size + 1024];
        group.throughput(Throughput::Bytes(size as u64));
        let contexts = (&contexts).into();
        group.bench_function(format!("mux write encode {size}"), |b| {
            b.iter(|| mux::encode_request(TAG, black_box(&contexts), black_box(&write), &mut out));
        });
        let length = mux::encode_request(TAG, &contexts, &write, &mut out).expect("room");
        group.bench_function(format!("mux write decode {size}"), |b| {
            b.iter(|| dispatched(black_box(&out[..length])))
        });
        group.bench_function(format!("framed write encode {size}"), |b| {
            b.iter(|| {
                framed::encode_request(black_box(Some(&header)), ZERO, black_box(&write), &mut out)
            });
        });
        let length = framed::encode_request(Some(&header), ZERO, &write, &mut out).expect("room");
        group.bench_function(format!("framed write decode {size}"), |b| {
            b.iter(|| upgraded(black_box(&out[..length])))
        });
    }
    let records = vec![[7; 100].as_slice(); 16];
    let bulk = Request::WriteBulkWithContext {
        stream: "basic-stream-3",
        data: records.as_slice().into(),
        context: WriteContext::default(),
    };
    let mut out = vec![0; 4096];
    let contexts = (&contexts).into();
    group.throughput(Throughput::Elements(16));
    group.bench_function("mux bulk of 16 encode", |b| {
        b.iter(|| mux::encode_request(TAG, &contexts, black_box(&bulk), &mut out))
    });
    let length = mux::encode_request(TAG, &contexts, &bulk, &mut out).expect("room");
    group.bench_function("mux bulk of 16 decode", |b| {
        b.iter(|| dispatched(black_box(&out[..length])))
    });
}

/// Work of a server on a frame, down to the stream and the payload's size.
fn dispatched(frame: &[u8]) -> (usize, usize) {
    let frame = Frame::decode(frame).expect("a frame");
    let Message::Tdispatch {
        contexts, payload, ..
    } = frame.message
    else {
        panic!("a dispatch")
    };
    assert!(contexts.client_id().is_some() && contexts.deadline().is_some());
    sizes(payload)
}

fn upgraded(frame: &[u8]) -> (usize, usize) {
    let (header, message) =
        RequestHeader::decode(framed::frame_body(frame).expect("a frame")).expect("a header");
    assert!(header.client_id.is_some());
    sizes(message)
}

fn sizes(message: &[u8]) -> (usize, usize) {
    let (_, request) = Request::decode(message).expect("a request");
    let stream = request.stream().expect("a stream");
    if let Request::WriteBulkWithContext { data, .. } = request {
        return (stream.len(), data.iter().map(<[u8]>::len).sum());
    }
    let Request::WriteWithContext { data, .. } = request else {
        panic!("a write")
    };
    (stream.len(), data.len())
}

fn replies(c: &mut Criterion) {
    let dlsn = Dlsn::new(3, 1_000, 0);
    let text = dlsn.to_text();
    let success = WriteResponse::success(Some(text.as_str()));
    let bulk = [success; 16];
    let owners: Vec<(String, String)> = (0..100)
        .map(|i| (format!("basic-stream-{i}"), "1;1;host:8000".to_owned()))
        .collect();
    let owners: Vec<(&str, &str)> = owners
        .iter()
        .map(|(stream, owner)| (stream.as_str(), owner.as_str()))
        .collect();
    let info = ServerInfo {
        ownerships: Some(owners.as_slice().into()),
        status: Some(ServerStatus::WriteAndAccept),
        failure_domain: None,
    };
    let found = WriteResponse::new(ResponseHeader::found("1;1;host:8000"));
    let header = ResponseHeader::new(StatusCode::Success);
    let kinds = [
        ("write", "writeWithContext", Reply::Write(success)),
        ("redirect", "writeWithContext", Reply::Write(found)),
        (
            "bulk of 16",
            "writeBulkWithContext",
            Reply::BulkWrite(BulkWriteResponse {
                header,
                responses: Some((&bulk).into()),
            }),
        ),
        (
            "handshake of 100 streams",
            "handshake",
            Reply::ServerInfo(info),
        ),
    ];
    let mut out = vec![0; 64 * 1024];
    let mut group = quick(c, "reply");
    for (name, method, reply) in kinds {
        group.bench_function(format!("mux {name} encode"), |b| {
            b.iter(|| mux::encode_reply(TAG, method, ZERO, black_box(&reply), &mut out));
        });
        let length = mux::encode_reply(TAG, method, ZERO, &reply, &mut out).expect("room");
        group.bench_function(format!("mux {name} decode"), |b| {
            b.iter(|| {
                let frame = Frame::decode(black_box(&out[..length])).expect("a frame");
                let Message::Rdispatch { payload, .. } = frame.message else {
                    panic!("an answer")
                };
                black_box(Reply::decode(payload).expect("a reply"));
            });
        });
    }
}

/// The frames that carry no request.
fn control_frames(c: &mut Criterion) {
    let frames = [
        Message::Tping,
        Message::Tdiscarded {
            discarded: TAG,
            reason: "another attempt won",
        },
        Message::Tinit {
            version: mux::VERSION,
            headers: InitHeaders::default(),
        },
        Message::BadRerr {
            error: mux::INIT_CHECK,
        },
        Message::Tlease {
            unit: 0,
            amount: 1_000,
        },
    ];
    let mut group = quick(c, "frame");
    let mut out = [0; 256];
    for message in frames {
        let (frame, name) = (Frame::new(TAG, message), message.frame_type().name());
        group.bench_function(format!("{name} encode"), |b| {
            b.iter(|| black_box(&frame).encode(&mut out))
        });
        let length = frame.encode(&mut out).expect("room");
        group.bench_function(format!("{name} decode"), |b| {
            b.iter(|| Frame::decode(black_box(&out[..length])).is_ok())
        });
    }
}

fn record_sets(c: &mut Criterion) {
    let identity = SetIdentity {
        writer: WriterId([3; 16]),
        sequence: 5,
    };
    let mut buffer = vec![0; 64 * 1024];
    let mut group = quick(c, "record set");
    for size in [10, 100, 1_000] {
        let record = vec![7; size];
        let count = (16 * 1024 - HEADER_BYTES) / (size + 4);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("append {size} up to 16 KiB, finish"), |b| {
            b.iter(|| {
                let mut builder = RecordSetBuilder::new(buffer.len(), true);
                for _ in 0..count {
                    builder
                        .append(&mut buffer, black_box(&record))
                        .expect("room");
                }
                builder.finish(&mut buffer, Some(&identity)).len()
            });
        });
        // The yardstick: the same copies without lengths, limits and header.
        group.bench_function(format!("copy {size} up to 16 KiB"), |b| {
            b.iter(|| {
                for place in buffer[..count * size].chunks_exact_mut(size) {
                    place.copy_from_slice(black_box(&record));
                }
            });
        });
        let set = filled(&mut buffer, &record, count, &identity);
        group.bench_function(format!("parse and iterate {size} of 16 KiB"), |b| {
            b.iter(|| {
                RecordSet::parse(black_box(&set), &mut [])
                    .expect("a set")
                    .records()
                    .map(<[u8]>::len)
                    .sum::<usize>()
            });
        });
    }
}

fn filled(buffer: &mut [u8], record: &[u8], count: usize, identity: &SetIdentity) -> Vec<u8> {
    let mut builder = RecordSetBuilder::new(buffer.len(), true);
    for _ in 0..count {
        builder.append(buffer, record).expect("room");
    }
    builder.finish(buffer, Some(identity)).to_vec()
}

/// Records that look like log lines, some 4 to 1.
fn lz4(c: &mut Criterion) {
    let mut group = quick(c, "lz4");
    for size in [16 * 1024, 1_000_000] {
        let (mut buffer, mut out, mut table) = (
            vec![0; size],
            vec![0; max_compressed_len(size)],
            Lz4Table::new(),
        );
        let mut builder = RecordSetBuilder::new(size, true);
        for line in 0_u64.. {
            let line = format!(
                "2017-11-23T16:{:02}:{:02}.{:03} INFO user {} wrote record {line}",
                line / 60 % 60,
                line % 60,
                line % 1000,
                line * 7919 % 1000
            );
            if builder.append(&mut buffer, line.as_bytes()).is_err() {
                break;
            }
        }
        let set = builder
            .finish_lz4(&mut buffer, None, &mut table, &mut out)
            .expect("room")
            .to_vec();
        println!("lz4: {} bytes become {}", builder.byte_len(), set.len());
        let mut scratch = vec![0; MAX_PAYLOAD_BYTES];
        group.throughput(Throughput::Bytes(builder.byte_len() as u64));
        group.bench_function(format!("compress {size}"), |b| {
            b.iter(|| {
                builder
                    .finish_lz4(black_box(&mut buffer), None, &mut table, &mut out)
                    .expect("room")
                    .len()
            });
        });
        group.bench_function(format!("decompress and check {size}"), |b| {
            b.iter(|| {
                RecordSet::parse(black_box(&set), &mut scratch)
                    .expect("a set")
                    .len()
            });
        });
    }
}

fn checksums(c: &mut Criterion) {
    let mut group = quick(c, "crc");
    for size in PAYLOADS {
        let payload = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("write {size}"), |b| {
            b.iter(|| crc::write("basic-stream-3", black_box(&payload)))
        });
    }
}

fn positions(c: &mut Criterion) {
    let dlsn = Dlsn::new(3, 1_000, 5);
    let text = dlsn.to_text();
    let mut group = quick(c, "dlsn");
    group.bench_function("to text", |b| b.iter(|| black_box(dlsn).to_text()));
    group.bench_function("from text", |b| {
        b.iter(|| black_box(text.as_str()).parse::<Dlsn>())
    });
}

/// One second for each is enough: the figures differ by factors, not by percents.
fn quick<'c>(c: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    group
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    group
}

criterion_group!(
    benches,
    requests,
    replies,
    control_frames,
    record_sets,
    lz4,
    checksums,
    positions
);
criterion_main!(benches);
