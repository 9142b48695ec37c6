//! Tests of the machine alone: scripts of events and expected outputs, and simulations of many
//! requests.

mod bench;
mod dedup;
mod scripts;
mod simulation;
