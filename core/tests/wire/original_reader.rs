//! Record sets of ours, given to the original's own reader.

use core::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use distributedlog::wire::record_set::{Lz4Table, RecordSetBuilder, max_compressed_len};

use crate::generate::{Rng, identity};
use crate::golden_files::to_hex;

/// R12: with and without the identity behind the records, plain and as LZ4, the original's reader
/// returns the records at their positions, and stops.
#[test]
#[ignore = "needs Java and the original's classes: tests/run original"]
fn the_originals_reader_takes_our_record_sets() {
    let class_path = std::env::var("ORIGINAL_CLASS_PATH")
        .expect("ORIGINAL_CLASS_PATH is set by tests/parts/original");
    let (mut lines, mut sets, mut records) = (String::new(), 0, 0);
    for seed in 0..1_000 {
        let rng = &mut Rng::new(seed);
        let capacity = if seed % 50 == 0 {
            900_000
        } else {
            80 + rng.below(6_000)
        };
        let count = one_set(rng, capacity, &mut lines);
        sets += usize::from(count > 0);
        records += count;
    }
    let mut java = Command::new("java")
        .args([
            "--add-opens",
            "java.base/java.nio=ALL-UNNAMED",
            "--add-opens",
            "java.base/sun.nio.ch=ALL-UNNAMED",
        ])
        .args([
            "-cp",
            &class_path,
            "org.apache.distributedlog.ReadRecordSets",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("java is installed");
    java.stdin
        .take()
        .expect("it is piped")
        .write_all(lines.as_bytes())
        .expect("the reader reads to the end");
    let output = java.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "the original's reader refused a set: see its message above"
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        format!("{sets} sets, {records} records")
    );
}

/// Adds one set and what it holds to `lines`; how many records it has. The original makes no empty
/// sets.
fn one_set(rng: &mut Rng, capacity: usize, lines: &mut String) -> usize {
    let identity = if rng.one_in(2) {
        Some(identity(rng))
    } else {
        None
    };
    let mut buffer = vec![0; capacity];
    let mut builder = RecordSetBuilder::new(capacity, identity.is_some());
    let mut records = String::new();
    loop {
        let mut record = vec![b'x'; rng.below(capacity / 8)];
        match rng.below(3) {
            0 => rng.fill(&mut record),
            1 => record
                .iter_mut()
                .zip(b"distributedlog ".iter().cycle())
                .for_each(|(byte, letter)| *byte = *letter),
            _ => {}
        }
        if builder.append(&mut buffer, &record).is_err() {
            break;
        }
        write!(records, "{},", to_hex(&record)).expect("a string takes everything");
    }
    if builder.is_empty() {
        return 0;
    }
    let mut out = vec![0; max_compressed_len(capacity)];
    let set = if rng.one_in(2) {
        builder
            .finish_lz4(
                &mut buffer,
                identity.as_ref(),
                &mut Lz4Table::new(),
                &mut out,
            )
            .expect("room")
    } else {
        builder.finish(&mut buffer, identity.as_ref())
    };
    writeln!(lines, "{} {records}", to_hex(set)).expect("a string takes everything");
    builder.record_count() as usize
}
