//! The write proxy client: sessions against recorded ones and against scripts, routing against
//! scripts and against a model of proxies.

mod features;
#[path = "../wire/golden_files.rs"]
#[expect(dead_code, reason = "it also serves the tests of the wire formats")]
mod golden_files;
mod replay;
mod routing;
mod script;
mod session;
mod settings;
mod simulation;
mod storm;
