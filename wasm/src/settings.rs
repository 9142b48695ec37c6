use distributedlog::settings::SettingValue;
use distributedlog::writer::{Identity, Settings, SettingsBuilder, WriterId};
use wasm_bindgen::prelude::*;

use crate::host::fill_with_random;

/// Collects the settings of a writer.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WriterSettings {
    builder: SettingsBuilder,
    connections: usize,
    in_flight_sets: bool,
}

#[wasm_bindgen]
impl WriterSettings {
    /// Returns the defaults with the randomness that a writer needs: a seed and a writer id.
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

    /// Sets a number by the name of its row in [`Settings::rows`], durations in milliseconds.
    /// Returns `false` if there is no such number.
    pub fn set(&mut self, name: &str, value: f64) -> bool {
        if name == "connections" {
            self.connections = value as usize;
            return true;
        }
        self.in_flight_sets |= name == "in_flight_sets";
        self.builder.set(name, SettingValue::Number(value)).is_ok()
    }

    /// Switches a setting or a group of settings on, with its recommended values, or off. Returns
    /// `false` if there is no such switch.
    pub fn set_switch(&mut self, name: &str, on: bool) -> bool {
        self.builder.set(name, SettingValue::Switch(on)).is_ok()
    }
}

/// Number of connections that browsers open to one server over HTTP/1.1.
const CONNECTIONS: usize = 6;

impl WriterSettings {
    /// Returns the settings and the maximum number of requests in flight, or the row of the setting
    /// that is refused. Unless the user sets it, the number of sets in flight leaves two
    /// connections for hedges: a set whose request waits for a connection is hedged in vain.
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
            .map_err(|error| error.setting)
    }
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self::new()
    }
}
