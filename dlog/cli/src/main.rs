//! The `dlog` command: one file for each of its commands, with its flags, its help text and its
//! output.
//!
//! Results go to the standard output, everything else to the standard error. A command exits with
//! status 0, with 1 when it failed, with 2 after a usage error, and with 3 if the outcome of a
//! write is unknown.

#[cfg(feature = "bookkeeper")]
mod admin;
mod administer;
mod args;
mod bench;
mod clock;
mod completions;
mod config;
mod confirm;
mod console;
mod doctor;
mod duration;
mod error;
mod escapes;
mod expression;
#[cfg(not(all(feature = "plots", feature = "zookeeper")))]
mod features;
mod folder;
mod http;
mod latency;
mod legacy;
mod local;
mod logging;
mod man;
mod multi_reader;
mod namespace;
mod original;
mod output;
mod place;
#[cfg(feature = "plots")]
mod plot;
mod port;
mod position;
mod position_file;
mod progress_line;
mod proxy;
mod quickstart;
mod read;
mod record_text;
mod reload;
mod replace_file;
mod server_tls;
mod service_manager;
mod setting_flags;
mod shutdown;
mod sim;
mod since;
mod store;
mod store_security;
mod streams;
mod streams_command;
mod table;
mod tail;
mod target;
mod token;
mod tool;
mod top;
mod version;
mod write;
mod writer_args;

pub(crate) use args::Cli;
pub(crate) use error::CliError;

#[cfg(test)]
pub(crate) use error::EXIT_FAILURE;
pub(crate) use error::{EXIT_OK, EXIT_UNKNOWN, EXIT_USAGE};
pub(crate) use output::{Format, Output};
pub(crate) use shutdown::Shutdown;

use std::process::ExitCode;

/// Keeps the memory of read buffers, which others give back to the system and fault in again: a
/// proxy at full load takes a fifth less processor time with it.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let configured = match Cli::read_configured(std::env::args_os()) {
        Ok(configured) => configured,
        Err(error) => {
            // clap returns help and version as "errors" too; they exit with status 0.
            args::print(&error, std::env::args_os());
            return ExitCode::from(if error.use_stderr() {
                EXIT_USAGE
            } else {
                EXIT_OK
            });
        }
    };
    let status = match configured.cli.run(configured.error) {
        Ok(()) => EXIT_OK,
        Err(error) => {
            if let Some(report) = error.report(output::stderr_colour()) {
                output::note_coloured(report.trim_end());
            }
            error.exit_status()
        }
    };
    ExitCode::from(status)
}

#[cfg(test)]
mod tests;
