//! Prints `SEED NUMBER` of each seed's life, in hexadecimal: what another target has to compute
//! too.

fn main() {
    for seed in distributedlog_bare::trace::SEEDS {
        println!(
            "{seed:x} {:016x}",
            distributedlog_bare::trace::of_life(seed)
        );
    }
}
