//! A few seeds, as part of every test run. `tests/run simulation` runs hundreds.

use distributedlog_simulation::streams::run_streams;
use distributedlog_simulation::{run_caught, run_caught_with, run_seeds};

#[test]
fn the_system_keeps_its_promises_under_all_faults() {
    let summary = run_seeds(1_000_000, 20, 2, 1);
    assert!(summary.failures.is_empty(), "{:?}", summary.failures);
    assert!(
        summary.faults.total() > 50 && summary.records.written > 1_000,
        "too little happened: {summary:?}"
    );
}

#[test]
fn the_same_seed_has_the_same_trace() {
    for seed in 2_000_000..2_000_005 {
        let runs = [run_caught(seed, false), run_caught(seed, false)]
            .map(|run| run.expect("every promise is kept"));
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}

#[test]
fn another_seed_has_another_trace() {
    let hashes = [3_000_000, 3_000_001]
        .map(|seed| run_caught(seed, false).expect("every promise is kept").hash);
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn streams_on_bookkeeper_keep_their_promises_and_a_seed_has_one_trace() {
    let mut acknowledged = 0;
    for seed in 4_000_000..4_000_004 {
        let runs = [(), ()].map(|()| {
            let run = run_caught_with(seed, || run_streams(seed, false));
            run.expect("every promise is kept")
        });
        assert_eq!(runs[0], runs[1], "seed {seed}");
        acknowledged += runs[0].records.written;
    }
    assert!(acknowledged > 1_000, "too little happened: {acknowledged}");
}
