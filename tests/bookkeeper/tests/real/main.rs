//! Tests on real clusters. They need Java and what it runs: `tests/run bookkeeper`, or one of them
//! with `tests/parts/bookkeeper NAME`.

mod faults;
mod java_ledgers;
mod java_logs;
mod java_speed;
mod our_commands;
mod our_crashes;
mod our_failover;
mod our_faults;
mod our_ledgers;
mod our_logs;
mod our_owners;
mod our_proxy_faults;
mod our_takeovers;
mod ours;
mod proxies;
mod servers;
