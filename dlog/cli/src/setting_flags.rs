//! Flags for the settings of a table, made from its rows.
//!
//! A row becomes a flag by itself, with the first sentence of its documentation as help. Only what
//! a row cannot say stands with the command: flags with names or help of their own, and settings
//! without a flag. A row whose unit is `other` has no flag of this kind.

use core::marker::PhantomData;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use distributedlog::settings::{NamedSettings, SettingRow, SettingValue, SettingsError};

use super::{CliError, duration};

/// Flags that stand together in the help of a command.
pub(crate) trait FlagGroup {
    /// Settings that the flags change.
    type Settings: NamedSettings;
    /// Heading of the flags in the help; `None`: they stand among the command's other flags.
    const HEADING: Option<&'static str>;
    /// Settings that have a flag.
    const ROWS: FlagRows;
    /// Flags with a name or a help text of their own: setting, flag, help.
    const OWN: &'static [(&'static str, &'static str, &'static str)];
    /// Former names of flags, which still work: setting, name.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];
    /// Argument without which the flags have no meaning.
    const REQUIRES: Option<&'static str> = None;

    /// Returns the settings without any flag.
    fn defaults() -> Self::Settings;
}

/// Choice of rows. Names of settings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FlagRows {
    /// These rows.
    Only(&'static [&'static str]),
    /// All rows but these, in lists.
    Except(&'static [&'static [&'static str]]),
}

/// Flags of a group, as they were given.
#[derive(Clone, Debug)]
pub(crate) struct TableFlags<G> {
    changes: Vec<(&'static str, SettingValue)>,
    group: PhantomData<G>,
}

impl<G: FlagGroup> TableFlags<G> {
    /// Changes `settings` as the flags say, unchecked.
    ///
    /// # Errors
    /// A number is larger than the setting can hold.
    pub(crate) fn apply(&self, settings: &mut G::Settings) -> Result<(), CliError> {
        for &(name, value) in &self.changes {
            settings
                .set(name, value)
                .map_err(|_| too_large(flag_of::<G>(name), value))?;
        }
        Ok(())
    }

    /// Returns the settings whose flags were given, each with its flag without dashes.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let names = self.changes.iter().map(|(name, _)| *name);
        names.map(|name| (name, flag_of::<G>(name)))
    }
}

#[cfg(feature = "bookkeeper")]
impl<G: FlagGroup> TableFlags<G> {
    /// Returns the first flag of the group that was given, without its dashes.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        self.changes.first().map(|(name, _)| flag_of::<G>(name))
    }
}

/// A number that the setting of this flag cannot hold.
pub(crate) fn too_large(flag: &str, value: SettingValue) -> CliError {
    CliError::usage(format!("--{flag} is {value}; it is too large"))
}

/// A setting that is refused, by the name of its flag.
pub(crate) fn refused<G: FlagGroup>(error: &SettingsError) -> CliError {
    let text = error.to_string();
    let rest = text.strip_prefix(error.setting).unwrap_or(&text);
    CliError::usage(format!("--{}{rest}", flag_of::<G>(error.setting)))
}

/// Returns the rows that have a flag.
pub(crate) fn rows<G: FlagGroup>() -> impl Iterator<Item = &'static SettingRow> {
    G::Settings::ROWS.iter().filter(|row| {
        row.unit != "other"
            && match G::ROWS {
                FlagRows::Only(names) => names.contains(&row.name),
                FlagRows::Except(lists) => !lists.iter().any(|names| names.contains(&row.name)),
            }
    })
}

/// Returns the name of a setting's flag: its own, or the setting's with dashes, and `no-` in front
/// of a switch that is on.
pub(crate) fn flag_of<G: FlagGroup>(name: &'static str) -> &'static str {
    if let Some((_, flag, _)) = G::OWN.iter().find(|(setting, ..)| *setting == name) {
        return flag;
    }
    let row = G::Settings::ROWS.iter().find(|row| row.name == name);
    let on = row.is_some_and(|row| row.default == "on");
    dashed(if on { "no-" } else { "" }, name)
}

/// Returns a setting's name as flags have it: with dashes.
pub(crate) fn dashed(before: &'static str, name: &'static str) -> &'static str {
    // Clap keeps names for the life of the program. Bounded: one for each row.
    static FLAGS: Mutex<BTreeMap<(&str, &str), &str>> = Mutex::new(BTreeMap::new());
    let mut flags = FLAGS.lock().unwrap_or_else(PoisonError::into_inner);
    flags
        .entry((before, name))
        .or_insert_with(|| format!("{before}{}", name.replace(['_', '.'], "-")).leak())
}

/// Returns the value of a setting's flag, if the flag was given. A switch whose flag begins with
/// `no-` is switched off by it.
pub(crate) fn given(matches: &ArgMatches, row: &SettingRow, flag: &str) -> Option<SettingValue> {
    if row.unit == "switch" {
        let switched = SettingValue::Switch(!flag.starts_with("no-"));
        return matches.get_flag(flag).then_some(switched);
    }
    matches.get_one::<SettingValue>(flag).copied()
}

impl<G: FlagGroup> FromArgMatches for TableFlags<G> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            changes: rows::<G>()
                .filter_map(|row| Some((row.name, given(matches, row, flag_of::<G>(row.name))?)))
                .collect(),
            group: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        Err(clap::Error::new(ErrorKind::InvalidSubcommand))
    }
}

impl<G: FlagGroup> clap::Args for TableFlags<G> {
    fn augment_args(command: Command) -> Command {
        let defaults = G::defaults();
        command.args(rows::<G>().map(|row| arg::<G>(row, &defaults)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Makes the flag of a setting.
fn arg<G: FlagGroup>(row: &'static SettingRow, defaults: &G::Settings) -> Arg {
    let flag = flag_of::<G>(row.name);
    let own = G::OWN.iter().find(|(setting, ..)| *setting == row.name);
    let help = own.map_or_else(|| help(row), |(_, _, help)| (*help).to_owned());
    let aliases = G::ALIASES
        .iter()
        .filter(|(setting, _)| *setting == row.name);
    let arg = Arg::new(flag)
        .long(flag)
        .aliases(aliases.map(|(_, name)| *name))
        .help_heading(G::HEADING);
    let arg = match G::REQUIRES {
        Some(other) => arg.requires(other),
        None => arg,
    };
    if row.unit == "switch" {
        return arg.help(help).action(ArgAction::SetTrue);
    }
    let (value_name, parser) = value_of(row);
    let default = defaults
        .value(row.name)
        .map_or_else(String::new, value_text);
    arg.help(format!("{help} [default: {default}]"))
        .value_name(value_name)
        .value_parser(parser)
}

/// The first sentence of the documentation, as help has it: without Markdown and a full stop.
pub(crate) fn help(row: &SettingRow) -> String {
    let doc = row.doc.trim().replace('`', "").replace(" (R10)", "");
    let sentence = doc.split(". ").next().unwrap_or(&doc);
    sentence.trim_end_matches('.').to_owned()
}

/// A value for people.
pub(crate) fn value_text(value: SettingValue) -> String {
    if value == SettingValue::Time(Duration::ZERO) {
        "0".to_owned()
    } else {
        value.to_string()
    }
}

/// Returns the name and the parser of a flag's value.
pub(crate) fn value_of(row: &'static SettingRow) -> (&'static str, ValueParser) {
    match (row.unit, row.range.starts_with("none")) {
        ("time", false) => ("TIME", ValueParser::from(time)),
        ("time", true) => ("TIME", ValueParser::from(time_or_none)),
        ("bytes", false) => ("BYTES", ValueParser::from(count)),
        ("bytes", true) => ("BYTES", ValueParser::from(count_or_none)),
        ("factor", _) => ("FACTOR", ValueParser::from(factor)),
        (_, true) => ("N", ValueParser::from(count_or_none)),
        (_, false) => ("N", ValueParser::from(count)),
    }
}

fn time(text: &str) -> Result<SettingValue, duration::DurationError> {
    duration::parse(text).map(SettingValue::Time)
}

fn time_or_none(text: &str) -> Result<SettingValue, duration::DurationError> {
    match text {
        "none" => Ok(SettingValue::Word("none")),
        text => time(text),
    }
}

pub(crate) fn count(text: &str) -> Result<SettingValue, core::num::ParseIntError> {
    text.parse().map(SettingValue::Count)
}

pub(crate) fn count_or_none(text: &str) -> Result<SettingValue, core::num::ParseIntError> {
    match text {
        "none" => Ok(SettingValue::Word("none")),
        number => count(number),
    }
}

pub(crate) fn factor(text: &str) -> Result<SettingValue, core::num::ParseFloatError> {
    text.parse().map(SettingValue::Factor)
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser as _;
    use distributedlog_store::embedded::EmbeddedSettings;
    use distributedlog_store::remote::ServerSettings;

    use super::super::local::{LocalFiles, ServerLimits};
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        server: TableFlags<ServerLimits>,
        #[command(flatten)]
        files: TableFlags<LocalFiles>,
    }

    fn parse(line: &str) -> Line {
        Line::parse_from(core::iter::once("x").chain(line.split_whitespace()))
    }

    /// Every row of the group has a flag that changes its setting and no other.
    fn each_flag_changes_its_setting<G: FlagGroup>(flags: fn(Line) -> TableFlags<G>) {
        for row in rows::<G>() {
            let flag = flag_of::<G>(row.name);
            let argument = match row.unit {
                "switch" => "",
                "time" => " 77s",
                _ => " 77",
            };
            let mut changed = G::defaults();
            let line = parse(&format!("--{flag}{argument}"));
            flags(line).apply(&mut changed).expect("it fits");
            let defaults = G::defaults();
            for other in G::Settings::ROWS {
                let same = changed.value(other.name) == defaults.value(other.name);
                assert_eq!(same, other.name != row.name, "--{flag}, {}", other.name);
            }
        }
    }

    #[test]
    fn each_flag_of_a_table_changes_its_setting() {
        each_flag_changes_its_setting(|line| line.server);
        each_flag_changes_its_setting(|line| line.files);
    }

    /// Checks that each number which is too large for its setting is refused by the name of the
    /// flag. `settings` makes the command's settings with one flag, `--flag=number`.
    pub(crate) fn each_flag_refuses_what_does_not_fit<G: FlagGroup>(
        settings: impl Fn(&str) -> Result<(), CliError>,
    ) {
        for row in rows::<G>().filter(|row| matches!(row.unit, "count" | "bytes")) {
            let flag = format!("--{}", flag_of::<G>(row.name));
            for number in ["4294967296", "9999999999", "18446744073709551615"] {
                if let Err(error) = settings(&format!("{flag}={number}")) {
                    assert_eq!(error.exit_status(), crate::EXIT_USAGE, "{error}");
                    let text = error.to_string();
                    let is_named = text.starts_with(&format!("{flag} is {number}; it "));
                    // Or the range of another setting begins at this one.
                    let is_limit = text.starts_with("--") && text.contains(number);
                    assert!(is_named || is_limit, "{text}");
                }
            }
            let more = format!("{flag}=18446744073709551616");
            let error = settings(&more).expect_err("more than 64 bits");
            assert_eq!(error.exit_status(), crate::EXIT_USAGE, "{error}");
            assert!(error.to_string().contains(&flag), "{more}: {error}");
        }
    }

    fn parsed(argument: &str) -> Result<Line, CliError> {
        Line::try_parse_from(["x", argument]).map_err(|error| CliError::usage(error.to_string()))
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused_by_the_name_of_its_flag() {
        each_flag_refuses_what_does_not_fit::<ServerLimits>(|argument| {
            let mut settings = ServerSettings::default();
            parsed(argument)?.server.apply(&mut settings)?;
            settings
                .check()
                .map_err(|error| refused::<ServerLimits>(&error))
        });
        each_flag_refuses_what_does_not_fit::<LocalFiles>(|argument| {
            let mut settings = EmbeddedSettings::new("");
            parsed(argument)?.files.apply(&mut settings)?;
            settings
                .check()
                .map_err(|error| refused::<LocalFiles>(&error))
        });
    }

    #[test]
    fn a_refused_setting_is_named_by_its_flag() {
        let mut settings = ServerSettings::default();
        let flags = parse("--max-connections 0").server;
        flags.apply(&mut settings).expect("it fits");
        let error = settings.check().expect_err("no connection at all");
        assert_eq!(
            refused::<ServerLimits>(&error).to_string(),
            "--max-connections is 0; it must be within 1 to 16777216"
        );
        let mut settings = EmbeddedSettings::new("");
        let error = parse("--volume-bytes 4294967296")
            .files
            .apply(&mut settings);
        assert_eq!(
            error.expect_err("more than 32 bits").to_string(),
            "--volume-bytes is 4294967296; it is too large"
        );
    }
}
