//! Messages between the firmware and the test: lines over the serial port.

use embassy_time::{Duration, Timer};

use crate::console::Console;

/// Returns the next line that the test sends, without its end. Longer lines are cut.
pub async fn read_line<const N: usize>() -> heapless::String<N> {
    let mut line = heapless::String::new();
    loop {
        match Console::try_read().map(char::from) {
            None => Timer::after(Duration::from_millis(2)).await,
            Some('\n') => return line,
            Some(letter) => drop(line.push(letter)),
        }
    }
}

/// Prints a line.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {{
        use core::fmt::Write as _;
        // The port accepts everything.
        let _ = writeln!($crate::console::Console, $($words)*);
    }};
}
