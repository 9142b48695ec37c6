//! Ports for servers that are told theirs before they start, or that come back on the same one.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU16, Ordering};
use std::fs::File;
use std::net::TcpListener;

/// Ports to choose from: below those that Linux gives to outgoing connections and to listeners
/// without a port of their own (from 32768), so that neither takes a port while its server is down.
/// A client that tries a server's port again and again could even connect to itself there.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port that is free, and that no other test takes, until this value is dropped.
#[derive(Debug)]
pub struct ReservedPort {
    port: u16,
    /// Locked. The system unlocks it when the process ends, in whatever way.
    _lock: File,
}

impl ReservedPort {
    /// Reserves a free port of 127.0.0.1.
    ///
    /// # Panics
    /// All ports are taken, or the folder for temporary files cannot be written.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Processes begin at different ports, so that they seldom meet.
        let begin = u16::try_from(std::process::id() % u32::from(COUNT)).expect("below COUNT");
        let folder = std::env::temp_dir().join("distributedlog-test-ports");
        std::fs::create_dir_all(&folder).expect("temporary files can be written");
        for _ in 0..COUNT {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = FIRST + (begin + turn % COUNT) % COUNT;
            let lock = File::create(folder.join(port.to_string())).expect("a temporary file");
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Self { port, _lock: lock };
            }
        }
        panic!("no port from {FIRST} on is free");
    }

    /// Returns the port's number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.port
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_no_other_ones_until_it_is_given_back() {
        let ports: Vec<ReservedPort> = (0..100).map(|_| ReservedPort::new()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(ReservedPort::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 100);
        for number in numbers {
            assert!((FIRST..FIRST + COUNT).contains(&number));
            TcpListener::bind((Ipv4Addr::LOCALHOST, number)).expect("it is free for its owner");
        }
    }
}
