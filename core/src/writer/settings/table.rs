//! The table of a writer's settings.

use core::time::Duration;

use super::{Adaptive, Budget, Choice, Health, Identity, Order, Rounds, Settings, Window};
use crate::settings_table;
use crate::writer::{Codec, MAX_SET_BYTES, limits};

settings_table! {
    /// Collects settings; [`build`](Self::build) checks them.
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[cfg_attr(
        feature = "serde",
        derive(serde::Serialize, serde::Deserialize),
        serde(default, rename_all = "kebab-case", deny_unknown_fields)
    )]
    #[must_use = "a builder does nothing until it is built"]
    pub struct SettingsBuilder { pub(super) }
    make rows (pub(super) const OWN_ROWS of Settings);
    make default (pub(super) const DEFAULT);
    make original (pub(super) const ORIGINAL);
    make checks (#[inline(always)] pub(super) const fn check_rows);
    make getters (of Settings in (0));
    make setters ((const fn) of SettingsBuilder in ());
    make by_name (pub(super));

    /// Time from the acceptance of a record until its write completes at the latest. R1.
    request_timeout: Duration, default (10 s), original (500 ms), valid (time 1 ns to 30 days);
    /// Sends a set whose attempt takes long to the next stream as well. Without it a set goes to
    /// another stream only after a failure, and the speculative timeouts are ignored. R3.
    hedging: bool, default (on), valid (switch on or off);
    /// Time that a set waits for its first attempt before it is hedged. R3.
    first_speculative_timeout: Duration, default (50 ms),
        valid (time 1 us to max_speculative_timeout if hedging);
    /// Longest time that a set waits before it is hedged again. R3.
    max_speculative_timeout: Duration, default (200 ms),
        valid (time below request_timeout if hedging);
    /// Factor by which a set's speculative timeout grows with each hedge. R3.
    speculative_backoff_multiplier: f32, default (2.0), valid (factor 1.0 to 1000.0);
    /// Bytes, header and record lengths included, at which a record set is transmitted; 0: each
    /// record at once. At most the largest set
    /// ([`MAX_SET_BYTES`](crate::writer::MAX_SET_BYTES)). R6.
    buffer_size: usize, default (16 KiB), valid (bytes 0 B to 1016 KiB);
    /// Maximum time a partial set waits before it is transmitted; 0: no such limit. R6.
    flush_interval: Duration, default (2 ms), valid (time below request_timeout);
    /// Transmits a set at once while no other is in flight; sets fill while one is. R6.
    flush_when_idle: bool, default (on), original (off), valid (switch on or off);
    /// Compression of record sets; LZ4 needs the feature `lz4`.
    codec: Codec, default (none => Codec::None), valid (word none or lz4);
    /// Maximum number of transmitted sets that are not finished; the writer's storage may hold
    /// fewer. R7.
    in_flight_sets: usize, default (256), valid (count 1 to 65000);
    /// Maximum bytes of records and set headers in memory, those of transmitted sets included until
    /// they are finished. It bounds the largest record too. R7.
    buffered_bytes: usize, default (32 MiB), valid (bytes 64 B to 1 TiB);
    /// Maximum number of records that are accepted and not completed; the writer's storage may hold
    /// fewer. Where it cannot grow, records whose result was not taken count too. R7.
    pending_records: usize, default (16384), valid (count 1 to 2147483648);
    /// Seed of the streams' permutation and of the jitter. Without one, the adapter draws a random
    /// one, and the core uses 0. R4.
    seed: Option<u64>, from u64 as Some, default (random => None), valid (count any);
    /// Rounds over the streams after an attempt failed on every one of them. R5.
    rounds: Rounds, default (on => Rounds::DEFAULT), original (once => Rounds::ONE),
        valid (group on);
    /// Budget of extra attempts. R8.
    budget: Budget, default (on => Budget::RECOMMENDED), original (off => Budget::Off),
        valid (group on or off);
    /// Probation of streams that stall or fail. R9.
    health: Health, default (on => Health::RECOMMENDED), original (off => Health::Off),
        valid (group on or off);
    /// Maximum number of attempts that are outstanding at one stream; `share`: twice its share of
    /// the sets in flight. R9.
    window: Window, default (share => Window::Share), original (off => Window::Off),
        valid (word share, off, or 1 to 65535);
    /// Stream at which a set starts: `turn`, the next in the rotation; `load`, of it and the next
    /// one the less loaded. R19.
    choice: Choice, default (turn => Choice::Turn), valid (word turn or load);
    /// Order of the records: `any`, or the index of the stream that keeps them in order while it is
    /// healthy. R20.
    order: Order, default (any => Order::Any), valid (word any, or 0 to 255);
    /// Speculative timeouts that follow the latency. R10.
    adaptive: Adaptive, default (on => Adaptive::RECOMMENDED), original (off => Adaptive::Off),
        valid (group on or off);
    /// Hedges a set to no stream that is silent: where something has waited, and nothing was
    /// answered, for half as long as a set waits before it is hedged. While all are, the set waits,
    /// at most the max speculative timeout: what holds up all streams at once, as the disk of their
    /// store, would hold up the hedge. Of the others, those in another failure domain come first,
    /// where proxies say it. R21, R22.
    wait_out_stalls: bool, default (on), original (off), valid (switch on or off);
    /// Maximum pause of a stream that its proxy can ask for (`retry-after`); 0: requests for a
    /// pause are ignored. R8.
    max_cool_down: Duration, default (60 s), valid (time 0 ns to 30 days);
    /// Identity by which readers of several streams recognise duplicates of a set. Adapters with a
    /// source of randomness switch it on. R12.
    identity: Identity, default (off => Identity::Off), valid (switch on or off);
    /// Adds a report of each attempt to the results.
    attempt_reports: bool, default (off), valid (switch on or off);
}

// The bounds of the table are those that the machine's tables rely on.
const _: () = assert!(MAX_SET_BYTES == 1016 << 10);
const _: () = assert!(limits::MAX_IN_FLIGHT_SETS == 65_000);
const _: () = assert!(limits::MAX_PENDING_RECORDS == 2_147_483_648);
const _: () = assert!(limits::MIN_BUFFERED_BYTES == 64);
