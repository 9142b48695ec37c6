use core::time::Duration;

use super::{Settings, SettingsBuilder};
use crate::settings::{
    NoSuchSetting, Setting, SettingRange, SettingRow, SettingValue, SettingsError, replace,
};
use crate::wire::record_set::WriterId;
use crate::writer::Codec;
use crate::{check_setting, setting_row, setting_text, setting_value};

/// Makes a group of settings that can be off: its enum, the recommended values, checks and rows.
macro_rules! group {
    (
        $(#[doc = $doc:literal])+
        $group:literal, $type:ident;
        $(#[doc = $off_doc:literal])+
        off;
        $(#[doc = $on_doc:literal])+
        $on:ident;
        $(
            $(#[doc = $field_doc:literal])+
            $field:ident: $field_type:ty, default ($($default:tt)+), valid ($($range:tt)+);
        )+
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(rename_all = "kebab-case")
        )]
        pub enum $type {
            $(#[doc = $off_doc])+
            Off,
            $(#[doc = $on_doc])+
            $on {
                $(
                    $(#[doc = $field_doc])+
                    #[doc = concat!(
                        "\n\nRecommended: ", setting_text!($($default)+), ". Valid: ",
                        stringify!($($range)+), "."
                    )]
                    $field: $field_type,
                )+
            },
        }

        impl $type {
            /// The recommended values, which are the default.
            pub const RECOMMENDED: Self = Self::$on { $($field: setting_value!($($default)+),)+ };

            const ROWS: &'static [SettingRow] = &[$(setting_row!(
                concat!($group, ".", stringify!($field)),
                ($($field_doc)+), ($($default)+), ($($range)+)
            ),)+];

            #[inline(always)]
            const fn check(self) -> Result<(), SettingsError> {
                /// The fields, for ranges that name another one.
                #[allow(dead_code, reason = "not every range does")]
                struct Fields { $($field: $field_type,)+ }

                if let Self::$on { $($field,)+ } = self {
                    let fields = Fields { $($field,)+ };
                    $(check_setting!(
                        fields, concat!($group, ".", stringify!($field)), fields.$field, $($range)+
                    );)+
                }
                Ok(())
            }

            fn value(self, name: &str) -> Option<SettingValue> {
                let Self::$on { $($field,)+ } = self else {
                    return None;
                };
                $(if name == concat!($group, ".", stringify!($field)) {
                    return $field.to_value();
                })+
                None
            }

            /// Returns `None` if the name is not a field's.
            fn set(
                &mut self,
                name: &str,
                value: SettingValue,
            ) -> Option<Result<(), NoSuchSetting>> {
                let mut changed = if matches!(self, Self::Off) { Self::RECOMMENDED } else { *self };
                let Self::$on { $($field,)+ } = &mut changed else {
                    return None;
                };
                $(if name == concat!($group, ".", stringify!($field)) {
                    let done = replace($field, value);
                    *self = changed;
                    return Some(done);
                })+
                None
            }
        }

        impl Setting for $type {
            fn to_value(self) -> Option<SettingValue> {
                Some(SettingValue::Switch(!matches!(self, Self::Off)))
            }

            fn from_value(value: SettingValue) -> Option<Self> {
                match value {
                    SettingValue::Switch(true) => Some(Self::RECOMMENDED),
                    SettingValue::Switch(false) => Some(Self::Off),
                    _ => None,
                }
            }
        }
    };
}

group! {
    /// Budget of extra attempts (R8): hedges and retries take from it, sets pay into it.
    ///
    /// The recommended one allows one extra attempt for twenty sets in the long run, one a second
    /// for writers of few sets, and up to 75 hedges at once when a stream falls silent, 37 of them
    /// from the start.
    "budget", Budget;
    /// No budget, as in the original: when everything is slow, every set is written to every
    /// stream.
    off;
    /// A token bucket.
    Share;
    /// Tokens that each set pays in: extra attempts per set in the long run.
    share: f32, default (0.05), valid (factor above 0 to 1.0);
    /// Minimum number of tokens that each second pays in, so that a writer of few sets can hedge
    /// too: it adds the tokens that the second's sets did not pay in.
    per_second: u32, default (1), valid (count 0 to 1000000);
    /// Maximum number of tokens that are saved up. A quarter of it is reserved for retries and
    /// probes; a new writer has half of the rest, 37 of 100, and at least one.
    burst: u32, default (100), valid (count 1 to 1000000);
}

group! {
    /// Probation of streams that stall or fail (R9).
    "health", Health;
    /// No probation, as in the original: a stalled stream keeps its turn.
    off;
    /// A stream that stalls or fails loses its turn as first choice for a while.
    Probation;
    /// Number of attempts in a row that must fail, be overtaken by a hedge, or take more than twice
    /// the usual time of attempts at the other streams (R10), before the stream loses its turn.
    strikes: u32, default (3), valid (count at least 1);
    /// Time until the first probe: a copy of a set that a healthy stream gets first, so that a
    /// probe costs the stream and the budget an attempt and delays no record.
    first_backoff: Duration, default (100 ms), valid (time 1 us to max_backoff);
    /// Longest time until the next probe; the time doubles with each probe that fails.
    max_backoff: Duration, default (1 s), valid (time 1 us to 30 days);
}

impl Eq for Health {}

group! {
    /// Speculative timeouts that follow the latency of recent attempts (R10).
    "adaptive", Adaptive;
    /// The first speculative timeout is that of the settings.
    off;
    /// The first speculative timeout is a quantile of the stream's recent latencies, between
    /// `floor` and the max speculative timeout; with each hedge of a set, a quantile that is half
    /// as rare, and at most twice the median: stragglers are slow, and a hedge that straggles shows
    /// as soon as it takes longer than most.
    ///
    /// With a [`Budget`] the quantile follows the rate that the budget sustains: while the bucket
    /// is half full, it is the quantile named here; the fuller the bucket, the sooner sets are
    /// hedged (up to twice as many), and the emptier, the later, so that the tokens that are left
    /// go to the slowest.
    Quantile;
    /// Quantile of the stream's latencies after which a set is hedged.
    quantile: f32, default (0.97), valid (factor 0.5 to 0.9999);
    /// Shortest adaptive timeout.
    floor: Duration, default (1 ms), valid (time 0 ns to the max_speculative_timeout);
    /// Number of a stream's attempts that must have ended before its quantile is used; until then
    /// the fixed timeout is.
    warm_up: u32, default (20), valid (count at least 1);
}

/// Rounds over the streams after an attempt failed on every one of them (R5): another round follows
/// after a pause that doubles and is jittered by up to a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, rename_all = "kebab-case")
)]
pub struct Rounds {
    /// Maximum number of rounds over all streams; `None`: until the set's deadline.
    pub limit: Option<u32>,
    /// Pause after the first round.
    pub first_backoff: Duration,
    /// Longest pause.
    pub max_backoff: Duration,
}

impl Rounds {
    pub(super) const DEFAULT: Self = Self {
        limit: None,
        first_backoff: Duration::from_millis(10),
        max_backoff: Duration::from_secs(1),
    };

    /// One round, as in the original.
    pub(super) const ONE: Self = Self {
        limit: Some(1),
        ..Self::DEFAULT
    };

    const ROWS: &'static [SettingRow] = &[
        setting_row!("rounds.limit",
            (" Maximum number of rounds over all streams; `none`: until the deadline."),
            (none), (count none or at least 1)),
        setting_row!("rounds.first_backoff", (" Pause after the first round over the streams."),
            (10 ms), (time 1 us to rounds.max_backoff)),
        setting_row!("rounds.max_backoff", (" Longest pause between rounds; pauses double."),
            (1 s), (time 1 us to 30 days)),
    ];

    #[inline(always)]
    const fn check(self) -> Result<(), SettingsError> {
        if let Some(limit) = self.limit {
            check_setting!(self, "rounds.limit", limit, count at least 1);
        }
        let (first, max) = (self.first_backoff, self.max_backoff);
        check_setting!(self, "rounds.first_backoff", first, time 1 us to max_backoff);
        check_setting!(self, "rounds.max_backoff", max, time 1 us to 30 days);
        Ok(())
    }

    fn value(self, name: &str) -> Option<SettingValue> {
        match name {
            "rounds.limit" => Some(self.limit.map_or(SettingValue::Word("none"), |n| {
                SettingValue::Count(n.into())
            })),
            "rounds.first_backoff" => self.first_backoff.to_value(),
            "rounds.max_backoff" => self.max_backoff.to_value(),
            _ => None,
        }
    }

    fn set(&mut self, name: &str, value: SettingValue) -> Option<Result<(), NoSuchSetting>> {
        match name {
            "rounds.limit" if matches!(value, SettingValue::Word("none")) => {
                self.limit = None;
                Some(Ok(()))
            }
            "rounds.limit" => {
                let mut limit = 0;
                let done = replace(&mut limit, value);
                self.limit = Some(limit);
                Some(done)
            }
            "rounds.first_backoff" => Some(replace(&mut self.first_backoff, value)),
            "rounds.max_backoff" => Some(replace(&mut self.max_backoff, value)),
            _ => None,
        }
    }
}

impl Default for Rounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Maximum number of attempts that are outstanding at one stream (R9): one that stalls does not
/// occupy all the sets that may be in flight.
///
/// A set starts at the next stream of the rotation that is healthy and whose window has room. If no
/// healthy stream's window has, windows are ignored: a set never waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Window {
    /// No limit, as in the original: a stream that stalls collects all sets in flight.
    Off,
    /// A fair share and as much again: with n streams, 2 / (n + 1) of the sets that may be in
    /// flight, rounded up. Two streams get two thirds each, three a half, five a third: one may
    /// stall, and more than a full window is left for the others.
    Share,
    /// A fixed number of attempts. At least 1.
    Attempts(u16),
}

impl Window {
    /// The recommended value, which is the default.
    pub const RECOMMENDED: Self = Self::Share;

    /// Returns the attempts that one of `streams` streams may have outstanding when `sets` sets may
    /// be in flight.
    pub(crate) const fn attempts(self, sets: u16, streams: u16) -> u16 {
        match self {
            Self::Off => u16::MAX,
            // At most `sets`, which is a u16: 2 / (n + 1) is at most 1.
            Self::Share => (2 * sets as u32).div_ceil(streams as u32 + 1) as u16,
            Self::Attempts(attempts) => attempts,
        }
    }
}

/// Choice of the stream at which a set starts (R19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Choice {
    /// The next in the rotation that is healthy and has room, as in the original: over n sets each
    /// of n such streams starts one.
    Turn,
    /// Of that one and the next behind it that is healthy and has room, the one with the smaller
    /// product of outstanding bytes, those of the set included, and mean latency; the first of two
    /// equal ones. A stream loses at most three turns in a row.
    Load,
}

/// Order of a writer's records (R20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Order {
    /// Any: sets start in turn, many are in flight at once, and any stream may be the first to
    /// store one.
    Any,
    /// The order in which they were accepted, in one stream while it is healthy.
    ///
    /// One set at a time is in flight: `in_flight_sets` becomes 1. Each starts at `home`; one
    /// that `home` does not answer within the max speculative timeout goes to the next stream as
    /// well. An attempt that fails or takes longer than that is enough for `home` to go on
    /// probation (R9). Sets then start at the next healthy stream until `home` was the first to
    /// answer a probe, which is sent just before the set's attempt at that stream. Adaptive
    /// timeouts (R10) and the choice by load (R19) are not used.
    ///
    /// So the records of each stream that were acknowledged are in order, and when a record is sent
    /// to a stream, all records before it have completed. A record whose write failed as unknown
    /// may still appear behind later ones, and so may the copy that an overtaken stream stores
    /// late, which merged readers drop (R12).
    Kept {
        /// Index of the stream that takes the records while it is healthy. The streams behind it
        /// in the rotation take its place.
        home: u8,
    },
}

/// Identity by which readers recognise the duplicates of a set (R12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Identity {
    /// None, as in the original: readers deliver every copy.
    Off,
    /// A trailer that the original's readers skip.
    Trailer {
        /// The writer that the trailer names.
        writer: WriterId,
        /// Sequence of the first set; above the last one when a writer's name is used again.
        first_sequence: u64,
    },
}

impl Settings {
    /// Returns the rows of all settings, those of groups after the groups themselves.
    pub fn rows() -> impl Iterator<Item = &'static SettingRow> {
        let groups = [Rounds::ROWS, Budget::ROWS, Health::ROWS, Adaptive::ROWS];
        Self::OWN_ROWS.iter().chain(groups.into_iter().flatten())
    }
}

impl SettingsBuilder {
    /// Checks groups, and what a range in the table cannot say.
    #[inline(always)]
    pub(super) const fn check_groups(&self) -> Result<(), SettingsError> {
        if matches!(self.codec, Codec::Lz4) && cfg!(not(feature = "lz4")) {
            return Err(SettingsError {
                setting: "codec",
                value: SettingValue::Word("lz4"),
                range: SettingRange::Text("none: the feature \"lz4\" is not compiled in"),
            });
        }
        if let Window::Attempts(attempts) = self.window {
            check_setting!(self, "window", attempts, count 1 to 65535);
        }
        check_setting!(@self.rounds.check());
        check_setting!(@self.budget.check());
        check_setting!(@self.health.check());
        check_setting!(@self.adaptive.check());
        if let Adaptive::Quantile { floor, .. } = self.adaptive {
            check_setting!(self, "adaptive.floor", floor, time 0 ns to max_speculative_timeout);
        }
        Ok(())
    }

    pub(super) fn group_value(&self, name: &str) -> Option<SettingValue> {
        let rounds = self.rounds.value(name);
        rounds
            .or_else(|| self.budget.value(name))
            .or_else(|| self.health.value(name))
            .or_else(|| self.adaptive.value(name))
    }

    pub(super) fn set_group(
        &mut self,
        name: &str,
        value: SettingValue,
    ) -> Result<(), NoSuchSetting> {
        let done = self.rounds.set(name, value);
        done.or_else(|| self.budget.set(name, value))
            .or_else(|| self.health.set(name, value))
            .or_else(|| self.adaptive.set(name, value))
            .unwrap_or(Err(NoSuchSetting))
    }
}

impl Setting for Option<u64> {
    fn to_value(self) -> Option<SettingValue> {
        Some(self.map_or(SettingValue::Word("random"), SettingValue::Count))
    }

    fn from_value(value: SettingValue) -> Option<Self> {
        match value {
            SettingValue::Count(count) => Some(Some(count)),
            SettingValue::Number(number) => Some(Some(number as u64)),
            SettingValue::Word("random") => Some(None),
            SettingValue::Switch(_)
            | SettingValue::Time(_)
            | SettingValue::Factor(_)
            | SettingValue::Word(_) => None,
        }
    }
}

impl Setting for Rounds {
    fn to_value(self) -> Option<SettingValue> {
        None
    }

    fn from_value(_: SettingValue) -> Option<Self> {
        None
    }
}

impl Setting for Codec {
    fn to_value(self) -> Option<SettingValue> {
        Some(SettingValue::Word(match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
        }))
    }

    fn from_value(value: SettingValue) -> Option<Self> {
        match value {
            SettingValue::Word("none") => Some(Self::None),
            SettingValue::Word("lz4") => Some(Self::Lz4),
            SettingValue::Switch(_)
            | SettingValue::Count(_)
            | SettingValue::Number(_)
            | SettingValue::Time(_)
            | SettingValue::Factor(_)
            | SettingValue::Word(_) => None,
        }
    }
}

impl Setting for Window {
    fn to_value(self) -> Option<SettingValue> {
        Some(match self {
            Self::Off => SettingValue::Word("off"),
            Self::Share => SettingValue::Word("share"),
            Self::Attempts(attempts) => SettingValue::Count(attempts.into()),
        })
    }

    fn from_value(value: SettingValue) -> Option<Self> {
        match value {
            SettingValue::Word("off") | SettingValue::Switch(false) => Some(Self::Off),
            SettingValue::Word("share") | SettingValue::Switch(true) => Some(Self::Share),
            SettingValue::Count(count) => u16::try_from(count).ok().map(Self::Attempts),
            SettingValue::Number(number) => Some(Self::Attempts(number as u16)),
            SettingValue::Time(_) | SettingValue::Factor(_) | SettingValue::Word(_) => None,
        }
    }
}

impl Setting for Choice {
    fn to_value(self) -> Option<SettingValue> {
        Some(SettingValue::Word(match self {
            Self::Turn => "turn",
            Self::Load => "load",
        }))
    }

    fn from_value(value: SettingValue) -> Option<Self> {
        match value {
            SettingValue::Word("turn") => Some(Self::Turn),
            SettingValue::Word("load") => Some(Self::Load),
            SettingValue::Switch(_)
            | SettingValue::Count(_)
            | SettingValue::Number(_)
            | SettingValue::Time(_)
            | SettingValue::Factor(_)
            | SettingValue::Word(_) => None,
        }
    }
}

impl Setting for Order {
    fn to_value(self) -> Option<SettingValue> {
        Some(match self {
            Self::Any => SettingValue::Word("any"),
            Self::Kept { home } => SettingValue::Count(home.into()),
        })
    }

    fn from_value(value: SettingValue) -> Option<Self> {
        match value {
            SettingValue::Word("any") | SettingValue::Switch(false) => Some(Self::Any),
            SettingValue::Switch(true) => Some(Self::Kept { home: 0 }),
            SettingValue::Count(home) => Some(Self::Kept {
                home: u8::try_from(home).ok()?,
            }),
            SettingValue::Number(home) => Some(Self::Kept { home: home as u8 }),
            SettingValue::Time(_) | SettingValue::Factor(_) | SettingValue::Word(_) => None,
        }
    }
}

/// It can be switched off by name; a writer's identity is no text.
impl Setting for Identity {
    fn to_value(self) -> Option<SettingValue> {
        Some(SettingValue::Switch(self != Self::Off))
    }

    fn from_value(value: SettingValue) -> Option<Self> {
        matches!(value, SettingValue::Switch(false)).then_some(Self::Off)
    }
}
