use distributedlog::settings::SettingValue;
use distributedlog::writer::{Identity, Settings, WriterId};

use crate::host::fill_with_random;

/// Number of connections that browsers open to one server over HTTP/1.1.
const CONNECTIONS: usize = 6;

/// Returns the settings and the maximum number of requests in flight, or the row of the setting
/// that is refused.
///
/// `names` are those of rows in [`Settings::rows`], and `connections`, separated by commas;
/// `values` are their numbers, durations in milliseconds. A name behind a `!` is a switch, off if
/// it is 0: one of a group switches it on with its recommended values.
///
/// Unless the user sets it, the number of sets in flight leaves two connections for hedges: a set
/// whose request waits for a connection is hedged in vain. The seed and the writer's id are random.
pub(crate) fn build<'a>(names: &'a str, values: &[f64]) -> Result<(Settings, usize), &'a str> {
    let mut random = [0; 24];
    fill_with_random(&mut random);
    let (writer, seed) = random
        .split_first_chunk::<16>()
        .expect("24 bytes are more than 16");
    let seed = u64::from_le_bytes(seed.try_into().expect("8 bytes are left of 24"));
    let mut builder = Settings::builder().seed(seed).identity(Identity::Trailer {
        writer: WriterId(*writer),
        first_sequence: 0,
    });
    let mut connections = CONNECTIONS;
    let mut in_flight_sets = false;
    for (name, &value) in names.split(',').zip(values) {
        if name == "connections" {
            connections = value as usize;
            continue;
        }
        in_flight_sets |= name == "in_flight_sets";
        let (name, value) = match name.strip_prefix('!') {
            Some(name) => (name, SettingValue::Switch(value != 0.0)),
            None => (name, SettingValue::Number(value)),
        };
        builder.set(name, value).map_err(|_| name)?;
    }
    if connections == 0 {
        return Err("connections");
    }
    if !in_flight_sets {
        builder = builder.in_flight_sets(connections.saturating_sub(2).max(1));
    }
    builder
        .build()
        .map(|settings| (settings, connections))
        .map_err(|error| error.setting)
}
