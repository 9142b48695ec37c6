//! The `dlog` command.

fn main() {}
