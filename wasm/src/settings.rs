use core::time::Duration;

use distributedlog::writer::{Adaptive, Budget, Codec, Health, Identity, Rounds, Settings, SettingsBuilder, Window, WriterId};
use wasm_bindgen::prelude::*;

use crate::host::fill_with_random;

/// Collects the settings of a writer, under the names of [`SettingsBuilder`]'s methods in camel case. Durations are in milliseconds.
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
        let (writer, seed) = random.split_first_chunk::<16>().expect("24 bytes are more than 16");
        let seed = u64::from_le_bytes(seed.try_into().expect("8 bytes are left of 24"));
        let builder = Settings::builder().seed(seed).identity(Identity::Trailer { writer: WriterId(*writer), first_sequence: 0 });
        Self { builder, connections: CONNECTIONS, in_flight_sets: false }
    }

    /// Sets what is a number, or a switch as 0 or 1. Whether there is such a setting.
    pub fn set(&mut self, name: &str, value: f64) -> bool {
        let builder = self.builder;
        self.builder = match name {
            "bufferSize" => builder.buffer_size(value as usize),
            "flushInterval" => builder.flush_interval(milliseconds(value)),
            "flushWhenIdle" => builder.flush_when_idle(value != 0.0),
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

    /// What happens after every stream was tried; a limit of 0 stands for none.
    pub fn rounds(&mut self, limit: u32, first_backoff: f64, max_backoff: f64) {
        let limit = (limit > 0).then_some(limit);
        let rounds = Rounds { limit, first_backoff: milliseconds(first_backoff), max_backoff: milliseconds(max_backoff) };
        self.builder = self.builder.rounds(rounds);
    }

    /// The budget of extra attempts.
    pub fn budget(&mut self, share: f32, per_second: u32, burst: u32) {
        self.builder = self.builder.budget(Budget::Share { share, per_second, burst });
    }

    /// What is remembered of streams that stall or fail.
    pub fn health(&mut self, strikes: u32, first_backoff: f64, max_backoff: f64) {
        let (first_backoff, max_backoff) = (milliseconds(first_backoff), milliseconds(max_backoff));
        self.builder = self.builder.health(Health::Probation { strikes, first_backoff, max_backoff });
    }

    /// Speculative timeouts that follow the latency.
    pub fn adaptive(&mut self, quantile: f32, floor: f64, warm_up: u32) {
        self.builder = self.builder.adaptive(Adaptive::Quantile { quantile, floor: milliseconds(floor), warm_up });
    }

    /// How many attempts may be outstanding at one stream; infinity stands for any number.
    pub fn window(&mut self, attempts: f64) {
        let window = if attempts.is_finite() { Window::Attempts(attempts as u16) } else { Window::Off };
        self.builder = self.builder.window(window);
    }

    /// Switches a policy on as [`SettingsBuilder::recommended`] does, or off: `budget`, `health`, `adaptive` or `window`. Whether there is such
    /// a policy.
    pub fn policy(&mut self, name: &str, on: bool) -> bool {
        let builder = self.builder;
        self.builder = match name {
            "budget" => builder.budget(if on { Budget::RECOMMENDED } else { Budget::Off }),
            "health" => builder.health(if on { Health::RECOMMENDED } else { Health::Off }),
            "adaptive" => builder.adaptive(if on { Adaptive::RECOMMENDED } else { Adaptive::Off }),
            "window" => builder.window(if on { Window::RECOMMENDED } else { Window::Off }),
            _ => return false,
        };
        true
    }

    /// Sets without an identity: readers deliver every copy.
    pub fn no_identity(&mut self) {
        self.builder = self.builder.identity(Identity::Off);
    }

    /// Record sets compressed with LZ4, if that is compiled in.
    pub fn lz4(&mut self) {
        self.builder = self.builder.codec(Codec::Lz4);
    }
}

/// What browsers open to one server over HTTP/1.1.
const CONNECTIONS: usize = 6;

impl WriterSettings {
    /// The settings, and how many requests may be under way at a time. As many sets may be in flight as leave two connections for hedges,
    /// unless the user says otherwise: a set whose request waits for a connection is hedged for nothing.
    pub(crate) fn build(&self) -> Result<(Settings, usize), &'static str> {
        if self.connections == 0 {
            return Err("connections");
        }
        let spare = self.connections.saturating_sub(2).max(1);
        let mut builder = self.builder;
        if !self.in_flight_sets {
            builder = builder.in_flight_sets(spare);
        }
        builder.build().map(|settings| (settings, self.connections)).map_err(|error| error.setting())
    }
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self::new()
    }
}
