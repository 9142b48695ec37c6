use core::fmt;
use std::io;

use clap::ValueEnum;
use distributedlog::Escaped;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::output::stderr_colour;

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    // For people.
    #[default]
    Text,
    // For programs: one JSON object per line.
    Json,
}

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
pub(crate) fn start(verbosity: Verbosity, format: LogFormat) {
    let requested = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.trim().is_empty());
    let (filter, refused) = match requested.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (fallback(verbosity), Some(error)),
        None => (fallback(verbosity), None),
    };
    let with_target = verbosity.level() >= LevelFilter::DEBUG;
    let _ = match format {
        LogFormat::Text => subscriber(filter, io::stderr, stderr_colour(), with_target).try_init(),
        LogFormat::Json => json_subscriber(filter, io::stderr).try_init(),
    };
    if let Some(error) = refused {
        tracing::warn!(
            "RUST_LOG is ignored: {error}; write a level or a filter, as in info or dlog=debug"
        );
    }
}

/// Returns the subscriber that writes a line for each event.
fn subscriber(
    filter: EnvFilter,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
    coloured: bool,
    with_target: bool,
) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(coloured)
        .with_target(with_target)
        .fmt_fields(debug_fn(write_field).delimited(" "))
        // tracing would report a line that cannot be written on the same standard error, with a
        // macro that panics when that write fails too.
        .log_internal_errors(false)
        .finish()
}

/// Returns the subscriber that writes a JSON object for each event: `timestamp`, `level`,
/// `message`, `target`, and the event's fields.
fn json_subscriber(
    filter: EnvFilter,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .log_internal_errors(false)
        .finish()
}

/// Writes a field of an event, escaped: its text may be a peer's. tracing escapes messages only,
/// and not their line ends.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = Escaped(format_args!("{value:?}"));
    let name = field.name().trim_start_matches("r#");
    if name == "message" {
        write!(writer, "{value}")
    } else if writer.has_ansi_escapes() {
        write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}")
    } else {
        write!(writer, "{name}={value}")
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
    use std::sync::{Arc, Mutex};

    use super::super::output::CapturedOutput;
    use super::*;

    #[test]
    fn a_peers_text_can_neither_add_a_line_nor_control_a_terminal() {
        for coloured in [false, true] {
            let captured = CapturedOutput::default();
            let writer = Arc::new(Mutex::new(captured.clone()));
            let make = move || CapturedOutput::clone(&writer.lock().expect("not poisoned"));
            let log = subscriber(EnvFilter::new("info"), make, coloured, false);
            let evil = "x\u{1b}[2J\n2026-11-29T00:00:00Z ERROR forged\u{9b}31m";
            tracing::subscriber::with_default(log, || {
                tracing::warn!(peer = %evil, text = evil, error = ?evil, "refusing {evil}");
            });
            let text = captured.text();
            assert_eq!(text.lines().count(), 1, "{text:?}");
            assert!(
                !text.contains("\u{1b}[2J") && !text.contains('\u{9b}'),
                "{text:?}"
            );
            assert_eq!(text.matches(r"x\u{1b}[2J\n2026").count(), 4, "{text:?}");
            let peer = text.contains(r"peer=x\u{1b}[2J");
            assert!(peer != coloured, "{text:?}");
        }
    }

    #[test]
    fn in_json_each_event_is_an_object_on_a_line_of_its_own() {
        let captured = CapturedOutput::default();
        let writer = Arc::new(Mutex::new(captured.clone()));
        let make = move || CapturedOutput::clone(&writer.lock().expect("not poisoned"));
        let log = json_subscriber(EnvFilter::new("info"), make);
        tracing::subscriber::with_default(log, || {
            tracing::warn!(stream = "s-1", bytes = 7, "a \"slow\"\n\u{1b}[2J stream");
            tracing::debug!("not logged");
        });
        let text = captured.text();
        let object: serde_json::Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        for (key, value) in [("level", "WARN"), ("stream", "s-1")] {
            assert_eq!(object[key], value, "{text}");
        }
        assert_eq!(object["bytes"], 7);
        assert_eq!(object["message"], "a \"slow\"\n\u{1b}[2J stream");
    }

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
