//! Client and sessions together against toy proxies that do everything that proxies do, over
//! connections that do what connections do.

pub(crate) mod dice;
mod proxy;
mod rig;

use core::time::Duration;
use std::collections::HashMap;

use distributedlog::client::routing::{Operation, Resend, Settings, Success};
use distributedlog::client::session::Protocol;
use distributedlog::{Instant, WriteState};

use dice::Dice;
use rig::{Happening, Rig};

#[derive(Debug, Default)]
struct Tally {
    succeeded: u64,
    not_written: u64,
    rejected: u64,
    unknown: u64,
    unknown_but_written: u64,
    twice: u64,
    lost_unsent: u64,
    redirects: u64,
    reroutes: u64,
    timeouts: u64,
    discarded: u64,
    disconnects: u64,
}

fn settings(dice: &mut Dice) -> Settings {
    Settings::builder()
        .resend(if dice.percent(70) {
            Resend::WhenNotWritten
        } else {
            Resend::Always
        })
        .request_timeout(dice.percent(50).then_some(Duration::from_secs(2)))
        .attempt_timeout(Duration::from_millis(400))
        .periodic_handshake_interval(Duration::from_secs(1))
        .ownership_sync_interval(Duration::from_secs(3))
        .blackout_max(Duration::from_millis(800))
        .build()
        .expect("valid")
}

fn simulate(seed: u64, protocol: Protocol, tally: &mut Tally) {
    let mut dice = Dice(seed);
    let settings = settings(&mut dice);
    let never_twice = settings.resend() == Resend::WhenNotWritten;
    let mut rig = Rig::new(seed, settings, protocol);
    rig.at(
        Instant::from_millis(dice.below(20)),
        Happening::Resolve(0b111),
    );
    for _ in 0..300 {
        let at = Instant::from_micros(dice.below(6_000_000));
        rig.at(at, Happening::Submit);
        if dice.percent(6) {
            rig.at(at, Happening::Cancel);
        }
        if dice.percent(1) {
            rig.at(at, Happening::Resolve(1 + dice.below(7)));
        }
    }
    while rig.step(Instant::from_millis(6_000)) {}
    rig.calm_down();
    // By now every request has an end: by its deadline, by the attempts it may make, or because
    // every host answers.
    while rig.step(Instant::from_millis(40_000))
        && !(rig.pending.is_empty() && rig.now > Instant::from_millis(15_000))
    {}
    assert!(rig.pending.is_empty(), "every request completes");
    settle(&mut rig);
    check(&rig, never_twice, tally);
}

/// Waits until no handshake is in flight: then no request may be.
fn settle(rig: &mut Rig) {
    for _ in 0..10_000 {
        if rig.in_flight() == 0 && rig.client.hosts().all(|host| host.in_flight == 0) {
            return;
        }
        assert!(
            rig.step(rig.now + Duration::from_secs(1)),
            "a place on a connection is free again once the peer has answered"
        );
    }
    panic!(
        "places on connections leak: {:?}",
        rig.client
            .hosts()
            .map(|host| (host.text.to_owned(), host.in_flight))
            .collect::<Vec<_>>()
    );
}

fn check(rig: &Rig, never_twice: bool, tally: &mut Tally) {
    let written: HashMap<u64, usize> = rig
        .world
        .log
        .iter()
        .map(|(number, places)| (*number, places.len()))
        .collect();
    for (number, operation, result) in &rig.ended {
        let copies = written.get(number).copied().unwrap_or_default();
        let is_write = matches!(
            operation,
            Operation::Write | Operation::WriteRecordSet | Operation::WriteBulk
        );
        match result {
            Ok(answer) => {
                tally.succeeded += 1;
                assert!(!is_write || copies > 0, "what was answered is written");
                if let Success::Written(dlsn) = answer {
                    assert!(rig.world.log[number].contains(dlsn), "and it is there");
                }
            }
            Err(failure) => {
                match failure.known {
                    WriteState::NotWritten => tally.not_written += 1,
                    WriteState::Rejected => tally.rejected += 1,
                    WriteState::Unknown => tally.unknown += 1,
                }
                tally.unknown_but_written += u64::from(copies > 0);
                assert!(
                    failure.known == WriteState::Unknown || copies == 0,
                    "{operation:?} {number} is said to be {failure}, and is written"
                );
            }
        }
        tally.twice += u64::from(copies > 1);
        assert!(
            !never_twice || copies <= 1,
            "nothing is written twice unasked"
        );
    }
    let counters = rig.client.counters();
    assert_eq!(
        counters.submitted,
        counters.succeeded + counters.failed + counters.cancelled
    );
    tally.lost_unsent += rig.lost_unsent;
    tally.redirects += counters.redirects;
    tally.reroutes += counters.reroutes;
    tally.timeouts += counters.timeouts;
    tally.discarded += counters.discarded;
    tally.disconnects += counters.disconnects;
}

#[test]
fn each_request_completes_once_by_its_deadline_and_truthfully_under_every_fault() {
    let rounds: u64 = std::env::var("CLIENT_SIMULATION_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let mut tally = Tally::default();
    for seed in 0..rounds {
        for protocol in [Protocol::ThriftMux, Protocol::Thrift, Protocol::PlainThrift] {
            println!("seed {seed}, {protocol:?}");
            simulate(seed, protocol, &mut tally);
        }
    }
    println!("{tally:?}");
    // A simulation in which nothing goes wrong would prove nothing.
    let Tally {
        succeeded,
        not_written,
        rejected,
        unknown,
        unknown_but_written,
        twice,
        lost_unsent,
        ..
    } = tally;
    for (what, count) in [
        ("succeeded", succeeded),
        ("not written", not_written),
        ("rejected", rejected),
        ("unknown", unknown),
        ("unknown, and written", unknown_but_written),
        ("written twice when asked for", twice),
        ("lost before a byte left", lost_unsent),
        ("redirects", tally.redirects),
        ("reroutes", tally.reroutes),
        ("timeouts", tally.timeouts),
        ("discarded", tally.discarded),
        ("disconnects", tally.disconnects),
    ] {
        assert!(
            count > rounds / 10,
            "{what}: {count} times in {rounds} rounds"
        );
    }
}
