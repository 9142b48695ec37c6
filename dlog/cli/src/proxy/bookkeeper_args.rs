//! Settings of namespaces on BookKeeper as flags.

use distributedlog_store::bookkeeper::BookKeeperSettings;

use super::super::setting_flags::{FlagGroup, FlagRows};

/// All settings of a store on BookKeeper.
#[derive(Clone, Copy, Debug)]
pub(super) struct BookKeeper;

/// Flags whose help names what the first sentence of the setting's documentation leaves open.
const OWN: &[(&str, &str, &str)] = &[(
    "retention",
    "retention",
    "Age at which a completed log segment is deleted; none: it stays until it is truncated",
)];

impl FlagGroup for BookKeeper {
    type Settings = BookKeeperSettings;
    const HEADING: Option<&'static str> = Some("BookKeeper (if -u names a namespace there)");
    const ROWS: FlagRows = FlagRows::Except(&[]);
    const OWN: &'static [(&'static str, &'static str, &'static str)] = OWN;

    fn defaults() -> BookKeeperSettings {
        BookKeeperSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::super::CliError;
    use super::super::super::args::{Cli, Command};
    use super::super::super::setting_flags::tests::each_flag_refuses_what_does_not_fit;
    use super::super::Args;
    use super::*;

    fn args(line: &[&str]) -> Result<Box<Args>, CliError> {
        let line = ["dlog", "proxy"].iter().chain(line).map(OsString::from);
        let cli = Cli::read(line).map_err(|error| CliError::usage(error.to_string()))?;
        let Command::Proxy(args) = cli.command else {
            panic!("another command");
        };
        Ok(args)
    }

    #[test]
    fn flags_change_the_settings_of_bookkeeper() {
        let args = args(&[
            "-u",
            "distributedlog://zk:2181/n",
            "--ensemble-size=5",
            "--write-quorum=4",
            "--retention=4320m",
            "--compress-entries",
        ]);
        let settings = args
            .expect("flags")
            .effective()
            .expect("they fit")
            .bookkeeper;
        assert_eq!((settings.ensemble_size, settings.write_quorum), (5, 4));
        assert_eq!(
            settings.retention,
            Some(core::time::Duration::from_secs(72 * 3600))
        );
        assert!(settings.compress_entries);
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused_by_the_name_of_its_flag() {
        each_flag_refuses_what_does_not_fit::<BookKeeper>(|flag| {
            args(&["-u", "distributedlog://zk:2181/n", flag])?
                .effective()
                .map(drop)
        });
    }

    #[test]
    fn a_flag_of_bookkeeper_is_refused_for_another_store() {
        let args = args(&["--data", "x", "--ack-quorum=1"]).expect("flags");
        let error = args.effective().map(drop);
        let error = error.expect_err("a folder has no bookies");
        assert_eq!(
            error.to_string(),
            "--ack-quorum is a setting of namespaces on BookKeeper; --data is a folder"
        );
    }
}
