use core::time::Duration;

use distributedlog::writer::{
    Adaptive, Budget, Health, Identity, Rounds, Settings, SettingsBuilder, Window, WriterId,
};
use wasm_bindgen::prelude::*;

use crate::host::fill_with_random;

/// Collects the settings of a writer, under the names of [`SettingsBuilder`]'s methods in camel
/// case. Durations are in milliseconds.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WriterSettings {
    builder: SettingsBuilder,
    connections: usize,
    in_flight_sets: bool,
}

/// NaN and what is negative become 0, which the settings that need more refuse.
fn milliseconds(value: f64) -> Duration {
    Duration::from_micros((value * 1_000.0) as u64)
}

#[wasm_bindgen]
impl WriterSettings {
    /// The defaults, with the randomness that a writer needs: a seed, and a name of its own.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        let mut random = [0; 24];
        fill_with_random(&mut random);
        let (writer, seed) = random
            .split_first_chunk::<16>()
            .expect("24 bytes are more than 16");
        let seed = u64::from_le_bytes(seed.try_into().expect("8 bytes are left of 24"));
        let builder = Settings::builder().seed(seed).identity(Identity::Trailer {
            writer: WriterId(*writer),
            first_sequence: 0,
        });
        Self {
            builder,
            connections: CONNECTIONS,
            in_flight_sets: false,
        }
    }

    /// Sets what is a number, or a switch as 0 or 1. Whether there is such a setting.
    pub fn set(&mut self, name: &str, value: f64) -> bool {
        let builder = self.builder;
        self.builder = match name {
            "bufferSize" => builder.buffer_size(value as usize),
            "flushInterval" => builder.flush_interval(milliseconds(value)),
            "flushWhenIdle" => builder.flush_when_idle(value != 0.0),
            "hedging" => builder.hedging(value != 0.0),
            "requestTimeout" => builder.request_timeout(milliseconds(value)),
            "firstSpeculativeTimeout" => builder.first_speculative_timeout(milliseconds(value)),
            "maxSpeculativeTimeout" => builder.max_speculative_timeout(milliseconds(value)),
            "speculativeBackoffMultiplier" => builder.speculative_backoff_multiplier(value as f32),
            "seed" => builder.seed(value as u64),
            "inFlightSets" => {
                self.in_flight_sets = true;
                builder.in_flight_sets(value as usize)
            }
            "bufferedBytes" => builder.buffered_bytes(value as usize),
            "pendingRecords" => builder.pending_records(value as usize),
            "connections" => {
                self.connections = value as usize;
                builder
            }
            _ => return false,
        };
        true
    }

    /// Sets a policy to what `numbers` say, in the order in which its fields are declared. Whether
    /// there is such a policy, and so many numbers of it. No numbers switch it off, NaN alone
    /// is what [`SettingsBuilder::recommended`] sets; a limit of 0 rounds stands for none.
    pub fn set_policy(&mut self, name: &str, numbers: &[f64]) -> bool {
        let recommended = matches!(numbers, [only] if only.is_nan());
        let builder = self.builder;
        self.builder = match (name, numbers) {
            ("budget", []) => builder.budget(Budget::Off),
            ("health", []) => builder.health(Health::Off),
            ("adaptive", []) => builder.adaptive(Adaptive::Off),
            ("window", []) => builder.window(Window::Off),
            ("identity", []) => builder.identity(Identity::Off),
            ("budget", _) if recommended => builder.budget(Budget::RECOMMENDED),
            ("health", _) if recommended => builder.health(Health::RECOMMENDED),
            ("adaptive", _) if recommended => builder.adaptive(Adaptive::RECOMMENDED),
            ("window", _) if recommended => builder.window(Window::RECOMMENDED),
            ("budget", &[share, per_second, burst]) => builder.budget(Budget::Share {
                share: share as f32,
                per_second: per_second as u32,
                burst: burst as u32,
            }),
            ("health", &[strikes, first, max]) => {
                let (first_backoff, max_backoff) = (milliseconds(first), milliseconds(max));
                builder.health(Health::Probation {
                    strikes: strikes as u32,
                    first_backoff,
                    max_backoff,
                })
            }
            ("adaptive", &[quantile, floor, warm_up]) => builder.adaptive(Adaptive::Quantile {
                quantile: quantile as f32,
                floor: milliseconds(floor),
                warm_up: warm_up as u32,
            }),
            ("window", &[attempts]) => builder.window(Window::Attempts(attempts as u16)),
            ("rounds", &[limit, first, max]) => {
                let limit = (limit > 0.0).then_some(limit as u32);
                builder.rounds(Rounds {
                    limit,
                    first_backoff: milliseconds(first),
                    max_backoff: milliseconds(max),
                })
            }
            _ => return false,
        };
        true
    }
}

/// What browsers open to one server over HTTP/1.1.
const CONNECTIONS: usize = 6;

impl WriterSettings {
    /// The settings, and how many requests may be under way at a time. As many sets may be in
    /// flight as leave two connections for hedges, unless the user says otherwise: a set whose
    /// request waits for a connection is hedged for nothing.
    pub(crate) fn build(&self) -> Result<(Settings, usize), &'static str> {
        if self.connections == 0 {
            return Err("connections");
        }
        let spare = self.connections.saturating_sub(2).max(1);
        let mut builder = self.builder;
        if !self.in_flight_sets {
            builder = builder.in_flight_sets(spare);
        }
        builder
            .build()
            .map(|settings| (settings, self.connections))
            .map_err(|error| error.setting())
    }
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self::new()
    }
}
