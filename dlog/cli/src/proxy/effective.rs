//! Settings of a proxy as its flags and its file make them, and where each comes from.

use std::collections::BTreeMap;

use distributedlog::settings::{NamedSettings, SettingRow, SettingValue, SettingsError};
use distributedlog_proxy::{Settings, SettingsBuilder};
#[cfg(feature = "bookkeeper")]
use distributedlog_store::bookkeeper::BookKeeperSettings;

use super::super::config::{self, DEFAULT, Shown};
use super::super::setting_flags::{self, FlagGroup, TableFlags, value_text};
use super::super::{CliError, Format, Output, local};
#[cfg(feature = "bookkeeper")]
use super::bookkeeper_args::BookKeeper;
use super::properties::{Change, Configuration};
use super::setting_args::Limits;

/// Port for clients, unless a flag or the file says otherwise.
const DEFAULT_PORT: u16 = 8000;

/// Shard, likewise: none.
const DEFAULT_SHARD: i32 = -1;

/// A setting that a file can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A row of the settings of BookKeeper.
    BookKeeper(&'static str),
    /// A row of the proxy's settings.
    Proxy(&'static str),
    /// The port for clients.
    Port,
    /// The shard number.
    Shard,
}

/// Settings of the proxy and of BookKeeper. Flags go before the file, the file before the defaults.
pub(super) struct Effective {
    pub(super) proxy: SettingsBuilder,
    #[cfg(feature = "bookkeeper")]
    pub(super) bookkeeper: BookKeeperSettings,
    pub(super) port: u16,
    pub(super) shard: i32,
    pub(super) configuration: Option<Configuration>,
    origins: BTreeMap<Target, String>,
}

impl Effective {
    /// Returns the defaults.
    pub(super) fn new() -> Self {
        Self {
            proxy: Settings::builder(),
            #[cfg(feature = "bookkeeper")]
            bookkeeper: BookKeeperSettings::default(),
            port: DEFAULT_PORT,
            shard: DEFAULT_SHARD,
            configuration: None,
            origins: BTreeMap::new(),
        }
    }

    /// Reserves this number of file descriptors for the store; connections get the rest.
    ///
    /// # Errors
    /// The limit of open files is too low.
    pub(super) fn reserve_descriptors(&mut self, store: usize) -> Result<(), CliError> {
        let descriptors = local::reserve_descriptors(store)?;
        self.proxy = self.proxy.clone().descriptors(descriptors);
        Ok(())
    }

    /// Takes a file.
    ///
    /// # Errors
    /// A number is larger than the setting can hold.
    pub(super) fn file(&mut self, configuration: Configuration) -> Result<(), CliError> {
        for change in &configuration.changes {
            self.change(&configuration, change)?;
        }
        self.configuration = Some(configuration);
        Ok(())
    }

    fn change(&mut self, configuration: &Configuration, change: &Change) -> Result<(), CliError> {
        let Some(value) = change.value else {
            return Ok(());
        };
        let number = if let SettingValue::Count(number) = value {
            Some(number)
        } else {
            None
        };
        let set = match change.target {
            #[cfg(feature = "bookkeeper")]
            Target::BookKeeper(name) => self.bookkeeper.set(name, value).is_ok(),
            #[cfg(not(feature = "bookkeeper"))]
            Target::BookKeeper(_) => true,
            Target::Proxy(name) => self.proxy.set(name, value).is_ok(),
            Target::Port => {
                let port = number.and_then(|it| u16::try_from(it).ok());
                self.port = port.unwrap_or(self.port);
                port.is_some()
            }
            Target::Shard => {
                let shard = number.and_then(|it| i32::try_from(it).ok());
                self.shard = shard.unwrap_or(self.shard);
                shard.is_some()
            }
        };
        if !set {
            return Err(configuration.too_large(change));
        }
        let origin = configuration.origin(change);
        self.origins.insert(change.target, origin);
        Ok(())
    }

    /// Takes a port that a flag gives.
    pub(super) fn flag_port(&mut self, port: Option<u16>) {
        if let Some(port) = port {
            self.port = port;
            self.origins.insert(Target::Port, "--port".to_owned());
        }
    }

    /// Takes a shard that a flag gives.
    pub(super) fn flag_shard(&mut self, shard: Option<i32>) {
        if let Some(shard) = shard {
            self.shard = shard;
            self.origins.insert(Target::Shard, "--shard-id".to_owned());
        }
    }

    /// Takes flags of the proxy.
    ///
    /// # Errors
    /// A number is larger than the setting can hold.
    pub(super) fn flags<G>(&mut self, flags: &TableFlags<G>) -> Result<(), CliError>
    where
        G: FlagGroup<Settings = SettingsBuilder>,
    {
        flags.apply(&mut self.proxy)?;
        for (name, flag) in flags.given() {
            self.origins
                .insert(Target::Proxy(name), format!("--{flag}"));
        }
        Ok(())
    }

    /// Converts the refusal of a setting of the proxy for the user.
    pub(super) fn refused(&self, error: &SettingsError) -> CliError {
        self.refused_of::<Limits>(Target::Proxy(error.setting), error)
    }

    /// Names the place that has set a setting which is refused: the line of the file, or the flag.
    fn refused_of<G: FlagGroup>(&self, target: Target, error: &SettingsError) -> CliError {
        let flag = setting_flags::flag_of::<G>(error.setting);
        let valid = error.to_string();
        let valid = valid.split_once("; ").map_or("", |(_, valid)| valid);
        match self.origins.get(&target) {
            Some(origin) if origin.starts_with("--") => setting_flags::refused::<G>(error),
            Some(_) => {
                let rest = format!("{valid}, as --{flag}");
                let in_file = self.configuration.as_ref();
                let in_file = in_file.and_then(|it| it.refused(target, &rest));
                in_file.unwrap_or_else(|| setting_flags::refused::<G>(error))
            }
            // The valid values of one setting may follow from another.
            None => CliError::usage(format!(
                "--{flag} is {} by default; {valid}",
                value_text(error.value)
            )),
        }
    }

    /// Prints `own` and every setting that has a text, with its source.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(super) fn print(
        &self,
        own: Vec<Shown>,
        format: Format,
        output: &Output,
    ) -> Result<(), CliError> {
        let number = |setting, value: String, target| Shown {
            setting: String::from(setting),
            value,
            source: self.source(target),
        };
        let numbers = [
            number("port", self.port.to_string(), Target::Port),
            number("shard", self.shard.to_string(), Target::Shard),
        ];
        let shown = own.into_iter().chain(numbers);
        let shown = shown.chain(self.rows(&self.proxy, Target::Proxy));
        #[cfg(feature = "bookkeeper")]
        let shown = shown.chain(self.rows(&self.bookkeeper, Target::BookKeeper));
        config::print(shown, format, output)
    }

    /// The settings of a table that have a text. A shard's is there already.
    fn rows<S: NamedSettings>(
        &self,
        settings: &S,
        target: fn(&'static str) -> Target,
    ) -> impl Iterator<Item = Shown> {
        let has_text = |row: &&SettingRow| {
            row.unit != "other" && !["shard", "thriftmux", "demo"].contains(&row.name)
        };
        S::ROWS.iter().filter(has_text).filter_map(move |row| {
            let value = value_text(settings.value(row.name)?);
            Some(Shown {
                setting: row.name.to_owned(),
                value,
                source: self.source(target(row.name)),
            })
        })
    }

    /// Logs the keys of the file that have no effect.
    pub(super) fn log(&self) {
        if let Some(configuration) = &self.configuration {
            configuration.log();
        }
    }

    /// Warns of keys of the file that have no effect on a store that is not on BookKeeper.
    pub(super) fn warn_without_bookkeeper(&self, place: &str) {
        if let Some(configuration) = &self.configuration
            && configuration.is_of_bookkeeper()
        {
            tracing::warn!("the settings of BookKeeper in the file have no effect: {place}");
        }
    }

    fn source(&self, target: Target) -> String {
        let Some(origin) = self.origins.get(&target) else {
            return DEFAULT.to_owned();
        };
        // What stands in the configuration file reaches the command as a flag.
        let in_file = origin.strip_prefix("--").and_then(config::origin);
        in_file.unwrap_or_else(|| origin.clone())
    }
}

#[cfg(feature = "bookkeeper")]
impl Effective {
    /// Takes flags of BookKeeper, and checks its settings.
    ///
    /// # Errors
    /// A setting is outside its range.
    pub(super) fn bookkeeper_flags(
        &mut self,
        flags: &TableFlags<BookKeeper>,
    ) -> Result<(), CliError> {
        flags.apply(&mut self.bookkeeper)?;
        for (name, flag) in flags.given() {
            self.origins
                .insert(Target::BookKeeper(name), format!("--{flag}"));
        }
        let checked = self.bookkeeper.check();
        checked.map_err(|error| {
            self.refused_of::<BookKeeper>(Target::BookKeeper(error.setting), &error)
        })
    }
}

#[cfg(all(test, feature = "bookkeeper"))]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use super::super::super::args::{Cli, Command};
    use super::super::super::output::CapturedOutput;
    use super::*;

    /// The settings of `dlog proxy` with these flags and this file.
    fn effective(flags: &str, file: &str) -> Result<Effective, String> {
        let line = format!("dlog proxy -u distributedlog://zk:2181/n {flags}");
        let cli = Cli::read(line.split_whitespace().map(OsString::from)).expect(&line);
        let Command::Proxy(args) = cli.command else {
            panic!("{line}");
        };
        let configuration = Configuration::of(Path::new("x.conf"), file);
        let effective = configuration.and_then(|it| {
            let effective = args.effective_with(Some(it))?;
            args.settings(&effective, &args.read_files()?)?;
            Ok(effective)
        });
        effective.map_err(|error| error.to_string())
    }

    fn printed(effective: &Effective, format: Format) -> String {
        let captured = CapturedOutput::default();
        let own = vec![Shown::of("namespace", None, "--uri", "none")];
        let printed = effective.print(own, format, &captured.output());
        printed.expect("it is printed");
        captured.text()
    }

    /// The line of a setting, with single blanks.
    fn line(effective: &Effective, setting: &str) -> String {
        let text = printed(effective, Format::Text);
        let words = text.lines().map(|line| line.split_whitespace().collect());
        let mut words = words.filter(|words: &Vec<&str>| words[0] == setting);
        let found = words.next().unwrap_or_else(|| panic!("{setting}: {text}"));
        assert!(words.next().is_none(), "{setting} is there twice: {text}");
        found.join(" ")
    }

    const FILE: &str = "# of a cluster\nensemble-size=5\nbkcWriteQuorumSize = 4\nserver_port=9000\n\
                        server_shard=7\ncreateStreamIfNotExists=false\nretention-size=72\n";

    #[test]
    fn flags_go_before_the_file_and_the_file_before_the_defaults() {
        let flags = "--ensemble-size=6 --shard-id=3 --max-connections=9";
        let effective = effective(flags, FILE).expect("it is valid");
        for (setting, shown) in [
            ("ensemble_size", "ensemble_size 6 --ensemble-size"),
            (
                "write_quorum",
                "write_quorum 4 x.conf:3 (bkcWriteQuorumSize)",
            ),
            ("ack_quorum", "ack_quorum 2 default"),
            ("retention", "retention 259200s x.conf:7 (retention-size)"),
            ("port", "port 9000 x.conf:4 (server_port)"),
            ("shard", "shard 3 --shard-id"),
            ("max_connections", "max_connections 9 --max-connections"),
            (
                "create_missing_streams",
                "create_missing_streams off x.conf:6 (createStreamIfNotExists)",
            ),
            ("namespace", "namespace none default"),
        ] {
            assert_eq!(line(&effective, setting), shown);
        }
        assert_eq!(effective.bookkeeper.write_quorum, 4);
        assert_eq!((effective.port, effective.shard), (9000, 3));
    }

    #[test]
    fn programs_get_one_object_for_each_setting() {
        let text = printed(&effective("", FILE).expect("it is valid"), Format::Json);
        let line =
            "{\"setting\":\"port\",\"value\":\"9000\",\"source\":\"x.conf:4 (server_port)\"}";
        assert!(text.lines().any(|it| it == line), "{text}");
    }

    #[test]
    fn a_setting_out_of_its_range_is_refused_by_the_place_that_has_set_it() {
        for (flags, file, refused) in [
            (
                "",
                "a=1\nwrite-quorum-size=5",
                "x.conf:2: write-quorum-size is \"5\"; it must be within 1 to 3, as --write-quorum",
            ),
            (
                "--write-quorum=6",
                "write-quorum-size=5",
                "--write-quorum is 6; it must be within 1 to 3",
            ),
            (
                "",
                "ensemble-size=2",
                "--write-quorum is 3 by default; it must be within 1 to 2",
            ),
            (
                "",
                "rolling-interval=0\nzkSessionTimeoutSeconds=7200",
                "x.conf:2: zkSessionTimeoutSeconds is \"7200\"; it must be within 1s to 3600s, as \
                 --session-timeout",
            ),
            (
                "",
                "maxAcquiredPartitionsPerProxy=0",
                "x.conf:1: maxAcquiredPartitionsPerProxy is \"0\"; it must be within 1 to \
                 16777216, as --max-streams",
            ),
            (
                "",
                "server_port=70000",
                "x.conf:1: server_port is \"70000\"; it is too large",
            ),
            (
                "",
                "ensemble-size=18446744073709551615",
                "x.conf:1: ensemble-size is \"18446744073709551615\"; it must be within 1 to 64, \
                 as --ensemble-size",
            ),
        ] {
            let error = effective(flags, file).map(drop);
            assert_eq!(error, Err(refused.to_owned()), "{flags} {file}");
        }
    }
}
