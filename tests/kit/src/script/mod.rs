//! Scripts of (time, event) → what the machine does.
//!
//! A line that begins with a number is a time in milliseconds and perhaps an event; the lines below
//! it that are indented are what the writer is expected to do then. Times between the lines at
//! which it does something by itself appear as lines of their own.
//!
//! ```
//! use distributedlog::writer::Settings;
//! use distributedlog_testkit::script;
//!
//! let settings = Settings::builder().original_features().buffer_size(0).build().unwrap();
//! script::check(settings, 3, "
//!     0 write a
//!         start 1 on 0: a
//!     50
//!         start 2 on 1: a
//!     60 answer 2
//!         cancel 1
//!         done a: stream 1, 1/2/0
//! ");
//! ```
//!
//! | event | |
//! |---|---|
//! | `write a`, `write a 1000` | a record with this name, padded with dots to so many bytes |
//! | `reserve a 1000`, `submit a`, `release a` | room for a record, then the record, or not |
//! | `answer 1`, `answer 1 7` | the first attempt succeeds, at the position 1/1/0 or 1/7/0 |
//! | `fail 1 503` | it fails with this status code, or with `lost`, `timeout`, `unreachable` |
//! | `refuse 2` | the transport has no room for the next two attempts |
//! | `forget a`, `flush`, `close`, `close 30`, `abort` | as the writer's methods; the close by a time |
//! | `sleep` | nobody drives the writer until this time: all timers before it are late |

mod parse;
mod player;

use distributedlog::writer::{Counters, Settings};

pub use player::Player;

/// Plays a script against a new writer over `streams` streams, which come in the order 0, 1, 2…,
/// and compares what it does with what the script says. The writer's counters.
///
/// # Panics
///
/// When the writer does anything else, with both versions side by side; or when the script makes no
/// sense.
#[track_caller]
pub fn check(settings: Settings, streams: usize, script: &str) -> Counters {
    let mut player = Player::new(settings, streams);
    let played = player.play(script);
    let expected = parse::normalized(script);
    if played != expected {
        panic!(
            "the script says:\n\n{}\n\nthe writer did:\n\n{}\n",
            expected.join("\n"),
            played.join("\n")
        );
    }
    player.counters()
}
