//! The files of the embedded store: a folder with what the fuzzer wrote opens, or is refused with a
//! reason; what opens can be read and written.
//!
//! The first byte chooses what is made of the rest. Checksums are made right, so that the fuzzer
//! gets behind them, except where bytes of a good folder are overwritten as they are.
#![no_main]

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog_store::embedded::{Access, Disk, EmbeddedSettings, EmbeddedStore, StoreSteps};
use distributedlog_store::{
    Acquired, Entry, EntryRecord, LogStore, Owner, ReadLimit, StoreError, StreamName,
};
use distributedlog_testkit::store::SimDisk;
use libfuzzer_sys::fuzz_target;

const FOLDER: &str = "/store";
/// Where the first batch of a volume begins, and how long its header is (volume.rs).
const VOLUME_HEADER: u64 = 4096;
const BATCH_HEADER: usize = 40;
const FRAME_HEADER: usize = 48;

/// A good folder: its files by name.
static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(good_folder);

fuzz_target!(|bytes: &[u8]| {
    let Some((&way, rest)) = bytes.split_first() else {
        return;
    };
    let disk = SimDisk::new(1);
    disk.create_folder(Path::new(FOLDER))
        .expect("an empty disk");
    for (name, content) in FILES.iter() {
        let is = |extension: &str| name.ends_with(extension);
        let content = match way % 4 {
            0 if is(".volume") => with_frames(content, rest),
            1 if is(".index") => with_checksum_at_end(rest),
            2 if is(".metadata") => with_metadata(content, rest),
            3 => overwritten(content, rest),
            _ => content.clone(),
        };
        write(&disk, name, &content);
    }
    if let Ok((store, mut steps)) = open(&disk) {
        use_it(&store, &mut steps);
    }
});

fn open(disk: &SimDisk) -> Result<(EmbeddedStore, StoreSteps), StoreError> {
    let settings = EmbeddedSettings {
        volume_bytes: 64 << 10,
        ..EmbeddedSettings::new(FOLDER)
    };
    EmbeddedStore::open_stepped(settings, Arc::new(disk.clone()), Arc::new(|| 7))
}

/// The volume, whose first batch consists of frames that say this.
fn with_frames(volume: &[u8], says: &[u8]) -> Vec<u8> {
    let (mut batch, mut frames, mut frames_crc) = (vec![0; BATCH_HEADER], 0_u32, 0);
    for said in says.split(|byte| *byte == 0xff).take(64) {
        let start = batch.len();
        batch.extend_from_slice(&[0; 8]);
        batch.extend_from_slice(said);
        batch.resize(batch.len().max(start + FRAME_HEADER), 0);
        let length = (batch.len() - start) as u32;
        batch[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c(&batch[start + 4..]);
        batch[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        frames_crc = crc32c::crc32c_append(frames_crc, &crc.to_le_bytes());
        frames += 1;
    }
    let length = batch.len() as u32;
    let mut header = Vec::new();
    // The nonce of the volume, and the first batch's sequence.
    header.extend_from_slice(&volume[24..32]);
    header.extend_from_slice(&1_u64.to_le_bytes());
    for number in [length, frames, frames_crc, 0] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.truncate(BATCH_HEADER - 8);
    let magic = FILES
        .iter()
        .find(|(name, _)| name.ends_with(".volume"))
        .map(|(_, good)| good[VOLUME_HEADER as usize..][..4].to_vec())
        .expect("a folder has a volume");
    batch[..4].copy_from_slice(&magic);
    batch[4..8].copy_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    batch[8..BATCH_HEADER].copy_from_slice(&header);
    let mut out = volume[..VOLUME_HEADER as usize].to_vec();
    out.extend_from_slice(&batch);
    out.resize(64 << 10, 0);
    out
}

fn with_checksum_at_end(says: &[u8]) -> Vec<u8> {
    let mut out = says.to_vec();
    out.extend_from_slice(&crc32c::crc32c(says).to_le_bytes());
    out
}

fn with_metadata(good: &[u8], says: &[u8]) -> Vec<u8> {
    let mut out = good[..16.min(good.len())].to_vec();
    out.resize(16, 0);
    out[12..16].copy_from_slice(&crc32c::crc32c(says).to_le_bytes());
    out.extend_from_slice(says);
    out
}

/// Pieces of three bytes: where, relative to the size, and what stands there.
fn overwritten(good: &[u8], says: &[u8]) -> Vec<u8> {
    let mut out = good.to_vec();
    for piece in says.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([piece[0], piece[1]]));
        if let Some(byte) = out.get_mut(at) {
            *byte = piece[2];
        }
    }
    out
}

/// What opened can be listed, described, read and written, or says why not.
fn use_it(store: &EmbeddedStore, steps: &mut StoreSteps) {
    let names = run(steps, store.list()).expect("an open store lists its streams");
    for name in names.iter().take(4) {
        let _ = run(steps, store.describe(name));
        let limit = ReadLimit {
            max_bytes: 4096,
            wait: Duration::ZERO,
            created_unix_ms: None,
        };
        let mut from = Dlsn::INITIAL;
        for _ in 0..8 {
            match run(steps, store.read(name, from, limit)) {
                Ok(batch) if batch.next > from => from = batch.next,
                Ok(_) | Err(_) => break,
            }
        }
        let _ = append(store, steps, name);
    }
    let _ = run(steps, store.close());
}

fn append(store: &EmbeddedStore, steps: &mut StoreSteps, name: &StreamName) -> Option<()> {
    let owner = Owner {
        shard: 1,
        address: "127.0.0.1:8000".into(),
    };
    let Ok(Acquired::Granted(lease)) = run(steps, store.acquire(name, &owner)) else {
        return None;
    };
    let record = EntryRecord {
        payload: Bytes::from_static(b"a record"),
        slots: 1,
        is_record_set: false,
    };
    store.append(
        &lease,
        Entry {
            records: vec![record],
        },
        Box::new(|_| {}),
    );
    steps.run();
    Some(())
}

/// Three streams with entries in two volumes.
fn good_folder() -> Vec<(String, Vec<u8>)> {
    let disk = SimDisk::new(1);
    let (store, mut steps) = open(&disk).expect("an empty folder");
    for name in ["a", "b", "c"] {
        let name = StreamName::new(name).expect("a valid name");
        run(&mut steps, store.create(&name)).expect("a new stream");
        for _ in 0..3 {
            append(&store, &mut steps, &name).expect("nobody owns it");
        }
    }
    run(&mut steps, store.close()).expect("it closes");
    drop((store, steps));
    let folder = PathBuf::from(FOLDER);
    let names = disk.list(&folder).expect("the folder");
    let file = |name: &String| {
        let file = disk
            .open(&folder.join(name), Access::Read)
            .expect("it is listed");
        let mut bytes = vec![0; file.size().expect("a size") as usize];
        file.read_at(&mut bytes, 0).expect("it is read");
        (name.clone(), bytes)
    };
    names
        .iter()
        .filter(|name| name.as_str() != "LOCK")
        .map(file)
        .collect()
}

fn write(disk: &SimDisk, name: &str, content: &[u8]) {
    let file = disk
        .create(&Path::new(FOLDER).join(name))
        .expect("a new file");
    file.write_at(content, 0).expect("the disk has room");
}

/// Runs the future to its end, and the store as often as that takes.
fn run<T>(steps: &mut StoreSteps, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..10_000 {
        if let Poll::Ready(value) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return value;
        }
        steps.run();
    }
    panic!("it does not end");
}
