//! Scripts of (time, event) with the expected actions of the machine.
//!
//! A line that begins with a number is a time in milliseconds, with an optional event. The indented
//! lines below it are the actions that the writer is expected to take then. Times between the lines
//! at which the writer acts on its own appear as lines of their own.
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
//! | event | meaning |
//! |---|---|
//! | `write a`, `write a 1000` | writes a record of this name, padded with dots to this length |
//! | `reserve a 1000`, `submit a`, `release a` | reserves room, then uses or releases it |
//! | `answer 1`, `answer 1 7` | the first attempt succeeds, at the position 1/1/0 or 1/7/0 |
//! | `fail 1 503` | it fails with this code, or with `lost`, `timeout` or `unreachable` |
//! | `refuse 2` | the transport has no room for the next two attempts |
//! | `forget a`, `flush`, `close`, `close 30`, `abort` | calls this method; the close at a time |
//! | `domain 0 x`, `domain 0` | stream 0 is in this failure domain, or in an unknown one |
//! | `sleep` | the writer is not driven until this time: all timers before it are late |

mod parse;
mod player;

use distributedlog::writer::{Counters, Settings};

pub use player::Player;

/// Plays a script against a new writer to `streams` streams, which come in the order 0, 1, 2…, and
/// compares its actions with the script. Returns the writer's counters.
///
/// # Panics
///
/// If the writer acts differently, with both versions one below the other, or if the script is
/// invalid.
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
