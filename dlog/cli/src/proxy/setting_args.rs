//! The proxy's settings as flags.

use distributedlog_proxy::{Settings, SettingsBuilder};

use super::super::setting_flags::{FlagGroup, FlagRows};

/// Settings whose flags this command makes by hand, because their values are addresses, files,
/// lists or words: setting and flag.
#[cfg(test)]
const BY_HAND: &[(&str, &str)] = &[
    ("listen", "port"),
    ("stats_listen", "stats-port"),
    ("http_listen", "http-port"),
    ("http_origins", "cors-origin"),
    ("http_token", "http-token-file"),
    ("http_tokens", "http-tokens"),
    ("authorization", "authorization"),
    ("audit_log", "audit-log"),
    ("shard", "shard-id"),
    ("announce", "advertise"),
    ("failure_domain", "failure-domain"),
    ("tls", "tls-certificates"),
    ("admin_from", "admin-from"),
    // Requires a port for HTTP.
    ("demo", "demo"),
    // Always on: the proxy detects what a client speaks. The flag is the original's.
    ("thriftmux", "thriftmux"),
];

/// Settings without a flag: a clock has no text to write on a command line, and descriptors follow
/// from the process's limit.
#[cfg(test)]
const WITHOUT_FLAG: &[&str] = &["descriptors", "wall_clock"];

/// Flags with a name or help of their own.
const OWN: &[(&str, &str, &str)] = &[
    (
        "read_only",
        "read-only",
        "Refuse requests that change a stream",
    ),
    (
        "create_missing_streams",
        "no-create",
        "Refuse writes to streams that do not exist, instead of creating them",
    ),
    (
        "remembered_sets",
        "remembered-sets",
        "Number of record sets to remember, so that a duplicate which is sent to the same stream \
         is answered and not stored again; 0: none",
    ),
    (
        "require_client_id",
        "require-client-id",
        "Refuse clients that do not identify themselves by a Finagle client id, as the original \
         does",
    ),
    (
        "faults",
        "faults",
        "Allow clients of the stats port and of the HTTP port to stall streams and to make them \
         fail. For demonstrations and tests: every client that can reach these ports can do it",
    ),
];

macro_rules! group {
    ($(#[doc = $doc:literal])+ $group:ident, $heading:expr, $rows:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $group;

        impl FlagGroup for $group {
            type Settings = SettingsBuilder;
            const HEADING: Option<&'static str> = $heading;
            const ROWS: FlagRows = $rows;
            const OWN: &'static [(&'static str, &'static str, &'static str)] = OWN;
            const ALIASES: &'static [(&'static str, &'static str)] =
                &[("faults", "test-only-faults")];

            fn defaults() -> SettingsBuilder {
                Settings::builder()
            }
        }
    };
}

/// Settings among the command's other flags.
const STREAMS: &[&str] = &[
    "read_only",
    "create_missing_streams",
    "require_client_id",
    "remembered_sets",
];
const FAULTS: &[&str] = &["faults"];

/// Settings with flags of another kind that are not limits.
const OTHERS: &[&str] = &["demo", "thriftmux"];

group! {
    /// Streams that clients may write to, and clients that may.
    Streams, None, FlagRows::Only(STREAMS)
}

group! {
    /// Faults on purpose.
    Faults, None, FlagRows::Only(FAULTS)
}

group! {
    /// All other settings.
    Limits, Some("Limits and timeouts"), FlagRows::Except(&[STREAMS, FAULTS, OTHERS])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    use clap::CommandFactory as _;

    use super::super::super::CliError;
    use super::super::super::args::{Cli, Command};
    use super::super::super::setting_flags::tests::each_flag_refuses_what_does_not_fit;
    use super::super::super::setting_flags::{flag_of, rows};
    use super::*;

    #[test]
    fn every_setting_of_the_proxy_has_one_flag_or_a_reason_to_have_none() {
        let command = Cli::command();
        let proxy = command.find_subcommand("proxy").expect("the command");
        let longs: BTreeSet<&str> = proxy
            .get_arguments()
            .filter_map(|arg| arg.get_long())
            .collect();
        let from_rows = rows::<Streams>()
            .chain(rows::<Faults>())
            .chain(rows::<Limits>())
            .map(|row| (row.name, flag_of::<Limits>(row.name)));
        let mut flags: Vec<(&str, &str)> = from_rows.chain(BY_HAND.iter().copied()).collect();
        for (setting, flag) in &flags {
            assert!(longs.contains(flag), "{setting} has no --{flag}");
        }
        flags.extend(WITHOUT_FLAG.iter().map(|setting| (*setting, "")));
        let mut settings: Vec<&str> = flags.iter().map(|(setting, _)| *setting).collect();
        settings.sort_unstable();
        let mut rows: Vec<&str> = Settings::ROWS.iter().map(|row| row.name).collect();
        rows.sort_unstable();
        assert_eq!(settings, rows);
    }

    /// The settings of `dlog proxy` with this argument.
    fn settings(argument: &str) -> Result<(), CliError> {
        let line = [
            "dlog",
            "proxy",
            "-p",
            "0",
            "--shard-id",
            "1",
            "--data",
            "x",
            argument,
        ];
        let cli = Cli::read(line.map(OsString::from))
            .map_err(|error| CliError::usage(error.to_string()))?;
        let Command::Proxy(args) = cli.command else {
            panic!("{argument}");
        };
        args.settings(&args.effective()?, &args.read_files()?)
            .map(drop)
    }

    #[test]
    fn the_former_name_of_the_faults_flag_still_works() {
        settings("--test-only-faults").expect("its first name");
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused_by_the_name_of_its_flag() {
        each_flag_refuses_what_does_not_fit::<Streams>(settings);
        each_flag_refuses_what_does_not_fit::<Faults>(settings);
        each_flag_refuses_what_does_not_fit::<Limits>(settings);
    }
}
