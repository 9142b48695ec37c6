//! One script for each rule of routing. The rules are those of DistributedLog's own client unless a
//! test says otherwise.

mod answers;
mod ends;
mod links;
mod owners;

use distributedlog::client::routing::Settings;

use crate::script::{Player, play};

const UP: &str = "
    0 resolved A B C     => connect A; connect B; connect C
    1 up A               => handshake A
    1 up B               => handshake B
    1 up C               => handshake C
    2 server-info A accept
    2 server-info B accept
    2 server-info C accept
";

/// Three hosts that are connected and take everything.
fn with_hosts(settings: Settings, script: &str) -> Player {
    play(settings, &format!("{UP}{script}"))
}

fn defaults(script: &str) -> Player {
    with_hosts(Settings::default(), script)
}
