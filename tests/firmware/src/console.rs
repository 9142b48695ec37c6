//! The serial port.

use core::fmt::{self, Write};

const BASE: usize = 0x4000_c000;
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const CONTROL: usize = 0x30;
const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;

fn read(register: usize) -> u32 {
    // SAFETY: a register of UART 0; the offsets are the data sheet's.
    unsafe { core::ptr::with_exposed_provenance::<u32>(BASE + register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { core::ptr::with_exposed_provenance_mut::<u32>(BASE + register).write_volatile(value) }
}

/// UART 0.
pub struct Console;

impl Console {
    /// Enables the port in both directions.
    pub fn start() {
        write(CONTROL, 1 | 1 << 8 | 1 << 9);
    }

    /// Returns the next received byte, or `None` if there is none.
    pub fn try_read() -> Option<u8> {
        (read(FLAGS) & RECEIVE_EMPTY == 0).then(|| read(DATA) as u8)
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while read(FLAGS) & TRANSMIT_FULL != 0 {}
            write(DATA, u32::from(byte));
        }
        Ok(())
    }
}
