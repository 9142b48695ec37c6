//! The `dlog` command. Everything it does is in the library's `cli` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    dlog::cli::main(std::env::args_os())
}
