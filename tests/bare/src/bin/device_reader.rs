//! Links the merged reader of a device. A budget of flash and one of RAM are for this program.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use distributedlog::merge::{MergedReader, Stored};
use distributedlog::{Dlsn, StreamIndex};

/// Four streams and the last four writers, of each 192 sets at least.
type Reader = MergedReader<4, 4, 4>;

#[cfg_attr(
    target_os = "none",
    expect(dead_code, reason = "the size is for people")
)]
const RAM_BYTES: usize = size_of::<Reader>();

/// Passes an entry in. Returns the bytes of the records that are to be handled.
fn step(reader: &mut Reader, stream: u16, dlsn: Dlsn, set: &[u8]) -> usize {
    let stored = Stored::RecordSet(set);
    match reader.entry(StreamIndex(stream), dlsn, stored, &mut []) {
        Ok(records) => records.map(|(_, record)| record.len()).sum(),
        Err(_) => 0,
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    let mut reader = Reader::new();
    assert_eq!(step(&mut reader, black_box(0), Dlsn::INITIAL, b"no set"), 0);
    println!("ok, {RAM_BYTES} bytes");
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut reader = Reader::new();
    loop {
        let dlsn = black_box(Dlsn::INITIAL);
        black_box(step(&mut reader, black_box(0), dlsn, black_box(&[])));
    }
}

distributedlog_bare::stops_on_panic!();
