use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::output::stderr_colour;

/// Number of `-v` minus number of `-q`. Zero logs warnings and errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verbosity(i8);

impl Verbosity {
    /// Creates it from the number of `-v` and of `-q`; they cancel out.
    #[must_use]
    pub(crate) fn new(verbose: u8, quiet: u8) -> Self {
        let part = |count: u8| i8::try_from(count.min(8)).expect("8 fits");
        Self(part(verbose) - part(quiet))
    }

    /// Returns it one step higher, for commands that serve: their log is their only output.
    #[must_use]
    pub(crate) const fn for_server(self) -> Self {
        Self(self.0 + 1)
    }

    /// Returns the most detailed level that is logged.
    #[must_use]
    pub(crate) const fn level(self) -> LevelFilter {
        match self.0 {
            ..=-2 => LevelFilter::OFF,
            -1 => LevelFilter::ERROR,
            0 => LevelFilter::WARN,
            1 => LevelFilter::INFO,
            2 => LevelFilter::DEBUG,
            3.. => LevelFilter::TRACE,
        }
    }
}

/// Sends the log to the standard error, in colour where that is a terminal. `RUST_LOG` selects what
/// is logged when it is set and valid, `verbosity` otherwise.
///
/// A second call in the same process, as tests make it, has no effect.
pub(crate) fn start(verbosity: Verbosity) {
    let requested = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.trim().is_empty());
    let (filter, refused) = match requested.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (fallback(verbosity), Some(error)),
        None => (fallback(verbosity), None),
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(stderr_colour())
        .with_target(verbosity.level() >= LevelFilter::DEBUG)
        // tracing would report a line that cannot be written on the same standard error, with a
        // macro that panics when that write fails too.
        .log_internal_errors(false)
        .try_init();
    if let Some(error) = refused {
        tracing::warn!(
            "RUST_LOG is ignored: {error}; write a level or a filter, as in info or dlog=debug"
        );
    }
}

/// Returns the filter of a verbosity. Below debugging, ZooKeeper's client only logs errors: what it
/// warns of is in the warnings and errors of the code that uses it.
fn fallback(verbosity: Verbosity) -> EnvFilter {
    let level = verbosity.level();
    if level == LevelFilter::WARN || level == LevelFilter::INFO {
        EnvFilter::new(format!("{level},zookeeper_client=error"))
    } else {
        EnvFilter::new(level.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_logs_one_level_more_and_each_q_one_less() {
        let level = |verbose, quiet| Verbosity::new(verbose, quiet).level();
        assert_eq!(level(0, 0), LevelFilter::WARN);
        assert_eq!(level(1, 0), LevelFilter::INFO);
        assert_eq!(level(2, 1), LevelFilter::INFO);
        assert_eq!(level(9, 0), LevelFilter::TRACE);
        assert_eq!(level(0, 1), LevelFilter::ERROR);
        assert_eq!(level(0, 255), LevelFilter::OFF);
    }

    #[test]
    fn servers_log_one_level_more_unless_q_is_given() {
        assert_eq!(Verbosity::new(0, 0).for_server().level(), LevelFilter::INFO);
        assert_eq!(Verbosity::new(0, 1).for_server().level(), LevelFilter::WARN);
    }
}
