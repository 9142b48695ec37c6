//! Pseudo-random runs of the machine, each from one seed: random settings, streams, users and late
//! drivers. An oracle that knows what every stream stored checks the result of every write.
//!
//! A failing seed is printed; `DISTRIBUTEDLOG_SEED=<seed> cargo test -p distributedlog --test
//! writer simulation` plays it again, and `DISTRIBUTEDLOG_SEEDS=<count>` plays more than the few
//! thousand that every test run does.

mod capped;
mod domains;
mod fairness;
mod life;
mod oracle;
mod order;
mod world;

use life::Life;

/// Prints the seed if the run panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the failing seed is {0}: DISTRIBUTEDLOG_SEED={0} plays it again",
                self.0
            );
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().expect("a number"))
}

fn live(seed: u64) -> (u64, u64) {
    let guard = Seed(seed);
    let mut life = Life::new(seed);
    life.run();
    drop(guard);
    (life.trace(), life.steps())
}

/// Canonical for R15. All other rules are checked within the runs, from the same seeds.
#[test]
fn every_write_of_every_run_gets_one_true_result_in_time() {
    let seeds = match variable("DISTRIBUTEDLOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("DISTRIBUTEDLOG_SEEDS").unwrap_or(10_000),
    };
    let steps: u64 = seeds.map(|seed| live(seed).1).sum();
    println!("{steps} steps");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..50 {
        assert_eq!(live(seed).0, live(seed).0, "seed {seed}");
    }
    assert_ne!(live(1).0, live(2).0);
}
