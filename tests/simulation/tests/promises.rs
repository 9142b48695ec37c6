//! A few seeds, as part of every test run. `tests/run simulation` runs hundreds.

use distributedlog_simulation::{run_caught, run_seeds};

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
