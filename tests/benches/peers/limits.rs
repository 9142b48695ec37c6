//! The limits of the machine: its disk and its loopback, without any log.

use core::time::Duration;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Outcome;
use crate::machine::Disk;
use crate::server::Guarded;

/// Sizes that are written and synced.
pub(crate) const SIZES: [usize; 5] = [128, 4 << 10, 16 << 10, 256 << 10, 1 << 20];
/// Time of each measurement.
const TIME: Duration = Duration::from_millis(500);
/// Bytes of a write over loopback.
const BLOCK: usize = 64 << 10;

/// What one round measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Time of one write and fdatasync of each of [`SIZES`] in microseconds, p50.
    pub(crate) sync_us: Vec<f64>,
    /// Bytes that one write and fdatasync of 128 bytes writes to the disk, if that is counted.
    pub(crate) sync_bytes: Option<f64>,
    /// Round trip of 100 bytes between two processes in microseconds, p50.
    pub(crate) round_trip_us: f64,
    /// One way, in MB/s.
    pub(crate) loopback_mb: f64,
}

/// Measures them in this folder.
///
/// # Errors
/// The disk or the loopback cannot be used.
pub(crate) fn measure(folder: &Path, disk: Option<&Disk>) -> Outcome<Limits> {
    let mut limits = Limits::default();
    for size in SIZES {
        let (us, bytes) = sync(folder, size, disk)?;
        limits.sync_us.push(us);
        limits.sync_bytes = limits.sync_bytes.or(bytes);
    }
    let mut echo = Command::new(std::env::current_exe()?);
    echo.arg("echo").stdout(Stdio::piped());
    let mut echo = Guarded::spawn(&mut echo)?;
    let mut address = String::new();
    let output = echo.child.stdout.take().ok_or("no pipe")?;
    BufReader::new(output).read_line(&mut address)?;
    limits.round_trip_us = round_trip(TcpStream::connect(address.trim())?)?;
    limits.loopback_mb = one_way(TcpStream::connect(address.trim())?)?;
    Ok(limits)
}

fn p50_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Writes and syncs one block after the other, into space that is there already.
fn sync(folder: &Path, size: usize, disk: Option<&Disk>) -> Outcome<(f64, Option<f64>)> {
    const SPACE: usize = 32 << 20;
    let path = folder.join("limit");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; SPACE], 0)?;
    file.sync_all()?;
    let block = vec![7; size];
    let (began, before) = (Instant::now(), disk.map(Disk::written));
    let (mut times, mut at) = (Vec::new(), 0);
    while began.elapsed() < TIME {
        let began = Instant::now();
        file.write_all_at(&block, at as u64)?;
        file.sync_data()?;
        times.push(began.elapsed());
        at = (at + size) % (SPACE - size);
    }
    let bytes = disk.zip(before).map(|(disk, before)| {
        let bytes = disk.written().bytes - before.bytes;
        bytes as f64 / times.len() as f64
    });
    std::fs::remove_file(&path)?;
    Ok((p50_us(times), bytes))
}

fn round_trip(mut socket: TcpStream) -> Outcome<f64> {
    socket.set_nodelay(true)?;
    // The first byte asks for an echo.
    socket.write_all(&[1])?;
    let (block, mut answer) = ([7; 100], [0; 100]);
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < TIME {
        let began = Instant::now();
        socket.write_all(&block)?;
        socket.read_exact(&mut answer)?;
        times.push(began.elapsed());
    }
    Ok(p50_us(times))
}

fn one_way(mut socket: TcpStream) -> Outcome<f64> {
    socket.write_all(&[0])?;
    let block = vec![7; BLOCK];
    let (began, mut bytes) = (Instant::now(), 0);
    while began.elapsed() < TIME {
        socket.write_all(&block)?;
        bytes += BLOCK;
    }
    // The other side has read all when it hangs up.
    socket.shutdown(std::net::Shutdown::Write)?;
    socket.read_to_end(&mut Vec::new())?;
    Ok(bytes as f64 / began.elapsed().as_secs_f64() / 1e6)
}

/// Runs as the other process.
///
/// # Errors
/// The loopback cannot be used.
pub(crate) fn echo() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let mut kind = [0];
        socket.read_exact(&mut kind)?;
        let mut buffer = vec![0; BLOCK];
        loop {
            let count = socket.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            if kind == [1] {
                socket.write_all(&buffer[..count])?;
            }
        }
    }
}
