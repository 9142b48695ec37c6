//! Fixed workloads of the write path, for `tests/run instructions`, which counts the instructions
//! of each with callgrind: the counts do not depend on what else the machine does.
//!
//! `distributedlog-instructions WORKLOAD RECORDS`; without arguments it lists the workloads.

use core::hint::black_box;
use core::time::Duration;
use std::process::ExitCode;

use distributedlog::wire::mux::{self, Context, Frame, Message, Tag};
use distributedlog::wire::record_set::{RecordSet, RecordSetBuilder, SetIdentity};
use distributedlog::wire::service::{Reply, Request, SequenceId, WriteContext, WriteResponse};
use distributedlog::writer::{
    Codec, Heap, Identity, Settings, SettingsBuilder, StreamCount, Writer, WriterId,
};
use distributedlog::{Dlsn, Instant};

const RECORD: [u8; 100] = [7; 100];
const SET_BYTES: usize = 16 << 10;

/// A workload of so many records.
type Workload = fn(u64);

const WORKLOADS: [(&str, Workload); 7] = [
    ("machine-single", |records| machine(single(), records)),
    ("machine-sets", |records| machine(sets(), records)),
    ("machine-sets-lz4", |records| {
        machine(sets().codec(Codec::Lz4), records)
    }),
    ("record-set-append", append),
    ("record-set-read", read),
    ("request", requests),
    ("reply", replies),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        for (name, _) in WORKLOADS {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let [name, records] = arguments.as_slice() else {
        eprintln!("usage: distributedlog-instructions WORKLOAD RECORDS");
        return ExitCode::from(2);
    };
    let workload = WORKLOADS.iter().find(|(known, _)| known == name);
    let (Some((_, workload)), Ok(records)) = (workload, records.parse()) else {
        eprintln!("there is no workload {name}, or {records} is not a number");
        return ExitCode::from(2);
    };
    workload(records);
    ExitCode::SUCCESS
}

fn identified() -> SettingsBuilder {
    Settings::builder().identity(Identity::Trailer {
        writer: WriterId([7; 16]),
        first_sequence: 0,
    })
}

/// The defaults, each record a set.
fn single() -> SettingsBuilder {
    identified().buffer_size(0)
}

/// The defaults with full sets.
fn sets() -> SettingsBuilder {
    identified().buffer_size(SET_BYTES).flush_when_idle(false)
}

/// The writer's machine over a transport that replies at once.
fn machine(builder: SettingsBuilder, records: u64) {
    let settings = builder.build().expect("valid settings");
    let streams = StreamCount::new(5).expect("five streams");
    let mut writer = Writer::new(settings, streams, Heap::new(&settings, streams))
        .expect("the heap has what the settings ask for");
    let mut now = Instant::ZERO;
    for number in 1..=records {
        now += Duration::from_micros(1);
        writer
            .write(now, black_box(&RECORD))
            .expect("room is made after every 128 records");
        if number % 128 == 0 {
            reply_to_all(&mut writer, now);
        }
    }
    writer.flush();
    reply_to_all(&mut writer, now);
}

fn reply_to_all(writer: &mut Writer<Heap>, now: Instant) {
    let mut attempts = [None; 128];
    let mut count = 0;
    while count < attempts.len()
        && let Some(attempt) = writer.poll_transmit(now)
    {
        black_box(attempt.record_set);
        attempts[count] = Some(attempt.id);
        count += 1;
    }
    for attempt in attempts[..count].iter().flatten() {
        writer.handle_finished(now, *attempt, Ok(Dlsn::INITIAL));
    }
    while let Some(record) = writer.poll_completed() {
        black_box(writer.take(record));
    }
}

const IDENTITY: SetIdentity = SetIdentity {
    writer: WriterId([3; 16]),
    sequence: 5,
};

/// Builds sets of 16 KiB.
fn append(records: u64) {
    let mut buffer = vec![0; SET_BYTES];
    let mut builder = RecordSetBuilder::new(SET_BYTES, true);
    for _ in 0..records {
        if builder.append(&mut buffer, black_box(&RECORD)).is_err() {
            black_box(builder.finish(&mut buffer, Some(&IDENTITY)).len());
            builder = RecordSetBuilder::new(SET_BYTES, true);
        }
    }
}

/// Parses sets of 100 records, and reads their records.
fn read(records: u64) {
    let mut buffer = vec![0; SET_BYTES];
    let mut builder = RecordSetBuilder::new(SET_BYTES, true);
    for _ in 0..100 {
        builder.append(&mut buffer, &RECORD).expect("11 KB");
    }
    let set = builder.finish(&mut buffer, Some(&IDENTITY)).to_vec();
    for _ in 0..records / 100 {
        let set = RecordSet::parse(black_box(&set), &mut []).expect("a set");
        for record in set.records() {
            black_box(record);
        }
    }
}

/// Encodes the write of one record as the client does, and decodes it as the proxy does.
fn requests(records: u64) {
    let contexts = [Context::client_id("instructions")];
    let contexts = (&contexts).into();
    let mut out = vec![0; 1024];
    for _ in 0..records {
        let write = Request::WriteWithContext {
            stream: "basic-stream-3",
            data: black_box(&RECORD),
            context: WriteContext::default(),
        };
        let length = mux::encode_request(Tag::ONE, &contexts, &write, &mut out).expect("room");
        let frame = Frame::decode(black_box(&out[..length])).expect("a frame");
        let Message::Tdispatch { payload, .. } = frame.message else {
            unreachable!("a dispatch was encoded")
        };
        black_box(Request::decode(payload).expect("a request"));
    }
}

/// Encodes the reply to a write as the proxy does, and decodes it as the client does.
fn replies(records: u64) {
    let mut out = vec![0; 1024];
    for number in 0..i64::try_from(records).expect("a count of records") {
        let text = Dlsn::new(3, number, 0).to_text();
        let reply = Reply::Write(WriteResponse::success(Some(text.as_str())));
        let length = mux::encode_reply(
            Tag::ONE,
            "writeWithContext",
            SequenceId(0),
            black_box(&reply),
            &mut out,
        );
        let frame = Frame::decode(black_box(&out[..length.expect("room")])).expect("a frame");
        let Message::Rdispatch { payload, .. } = frame.message else {
            unreachable!("a reply was encoded")
        };
        let (_, reply) = Reply::decode(payload).expect("a reply");
        let Reply::Write(response) = reply else {
            unreachable!("a write's reply was encoded")
        };
        let dlsn: Dlsn = response
            .dlsn
            .expect("it succeeded")
            .parse()
            .expect("a DLSN");
        black_box(dlsn);
    }
}
