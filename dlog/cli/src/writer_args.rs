//! The settings of the multi stream writer as flags, made from the rows of their table.
//!
//! A row becomes a flag by itself; only what a row cannot say stands here: flags with names of
//! their own, and the help of switches that a flag turns off.

use core::marker::PhantomData;

use clap::builder::{PossibleValuesParser, TypedValueParser as _, ValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use distributedlog::settings::{SettingRow, SettingValue, SettingsError};
use distributedlog::writer::{Settings, SettingsBuilder};

use super::CliError;
use super::setting_flags::{self, count, dashed, factor, given, help, value_text};

/// Settings of the original's console: they start from the tutorial's.
pub(crate) type WriterArgs = SettingFlags<Tutorial>;

/// Settings of quickstart: they start from the defaults.
pub(crate) type QuickstartWriterArgs = SettingFlags<Quickstart>;

/// Settings of the benchmark: they start from the defaults.
pub(crate) type BenchWriterArgs = SettingFlags<Bench>;

/// A command with flags for the writer's settings.
pub(crate) trait SettingsOf {
    /// Heading of the flags in the help.
    const HEADING: &'static str;
    /// Settings without a flag.
    const WITHOUT_FLAG: &'static [&'static str];

    /// Returns the settings that flags change.
    fn base() -> SettingsBuilder;
}

/// The tutorial's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tutorial;

impl SettingsOf for Tutorial {
    const HEADING: &'static str = "The writer's settings";
    // Reports of attempts are what `--attempts` prints.
    const WITHOUT_FLAG: &'static [&'static str] = &["attempt_reports"];

    fn base() -> SettingsBuilder {
        Settings::tutorial().to_builder()
    }
}

/// The defaults, with two of the tutorial's values: every line is a record set of its own, so that
/// lines go round the streams also when they come from a pipe; and with the tutorial's request
/// timeout a user who stalls every stream has time to see what a line waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quickstart;

impl SettingsOf for Quickstart {
    const HEADING: &'static str = Tutorial::HEADING;
    const WITHOUT_FLAG: &'static [&'static str] = Tutorial::WITHOUT_FLAG;

    fn base() -> SettingsBuilder {
        let tutorial = Settings::tutorial();
        Settings::builder()
            .request_timeout(tutorial.request_timeout())
            .buffer_size(tutorial.buffer_size())
            .flush_interval(tutorial.flush_interval())
    }
}

/// The defaults, as an application has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench;

impl SettingsOf for Bench {
    const HEADING: &'static str = Tutorial::HEADING;
    const WITHOUT_FLAG: &'static [&'static str] = Tutorial::WITHOUT_FLAG;

    fn base() -> SettingsBuilder {
        Settings::builder()
    }
}

const GROUPS_HEADING: &str = "Budget, health and adaptive timeouts";

/// Flags with names of their own; `budget` and `adaptive` take a number or `off`.
const NAMES: &[(&str, &str)] = &[
    ("codec", "compression"),
    ("rounds.limit", "rounds"),
    ("rounds.first_backoff", "first-backoff"),
    ("rounds.max_backoff", "max-backoff"),
    ("budget.share", "budget"),
    ("adaptive.quantile", "adaptive"),
    ("hedging", "no-hedging"),
    ("flush_when_idle", "no-flush-when-idle"),
    ("identity", "no-identity"),
];

/// Groups whose flag is that of their first field, or that are always on.
const GROUPS_WITHOUT_FLAG: &[&str] = &["rounds", "budget", "adaptive"];

/// Switches whose flag takes `on` or `off`: their default differs between commands.
const ON_OFF: &[&str] = &["wait_out_stalls"];

/// Help of flags that turn a switch off.
const OFF_HELP: &[(&str, &str)] = &[
    (
        "hedging",
        "Send a set to another stream only after an attempt failed, never because it takes long",
    ),
    (
        "flush_when_idle",
        "Let a set fill also while no other is in flight, as the original does",
    ),
    (
        "identity",
        "Write record sets without the identity by which merged readers recognise duplicates, as \
         the original does",
    ),
];

fn lookup(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table
        .iter()
        .find_map(|(key, value)| (*key == name).then_some(*value))
}

/// Returns the name of a setting's flag.
pub(crate) fn flag_of(name: &str) -> &'static str {
    let row = Settings::rows().find(|row| row.name == name);
    let name = row.expect("every name is a row's").name;
    lookup(NAMES, name).unwrap_or_else(|| dashed("", name))
}

/// Flags for the writer's settings, as they were given.
#[derive(Clone, Debug)]
pub(crate) struct SettingFlags<C> {
    recommended: bool,
    /// Fields of groups come after the groups.
    changes: Vec<(&'static str, SettingValue)>,
    command: PhantomData<C>,
}

impl<C: SettingsOf> SettingFlags<C> {
    /// Returns `true` if record sets carry an identity.
    #[must_use]
    pub(crate) fn identity(&self) -> bool {
        !self.changes.iter().any(|(name, _)| *name == "identity")
    }

    /// Returns the command's settings with the changes of the flags, unchecked.
    ///
    /// # Errors
    /// A number is larger than its setting can hold.
    pub(crate) fn builder(&self) -> Result<SettingsBuilder, CliError> {
        let mut builder = C::base();
        if self.recommended {
            builder = builder.recommended();
        }
        let off = |group: &str| {
            let is_off = |(name, value): &(&str, _)| {
                name.split('.').next() == Some(group) && *value == SettingValue::Switch(false)
            };
            self.changes.iter().any(is_off)
        };
        for &(name, value) in &self.changes {
            let (group, field) = name.split_once('.').unwrap_or((name, ""));
            let (name, value) = match value {
                // `--budget off`: its flag is that of its first field.
                SettingValue::Switch(false) => (group, value),
                SettingValue::Switch(true)
                | SettingValue::Count(_)
                | SettingValue::Time(_)
                | SettingValue::Factor(_)
                | SettingValue::Word(_)
                | SettingValue::Number(_) => {
                    if !field.is_empty() && off(group) {
                        continue;
                    }
                    (name, value)
                }
            };
            // A flag's parser makes values of its setting's kind, but of up to 64 bits.
            builder
                .set(name, value)
                .map_err(|_| setting_flags::too_large(flag_of(name), value))?;
        }
        Ok(builder)
    }

    /// Returns the settings.
    ///
    /// # Errors
    /// One of them is outside its range, or contradicts another.
    pub(crate) fn settings(&self) -> Result<Settings, CliError> {
        self.builder()?
            .build()
            .map_err(|error| settings_error(&error))
    }
}

/// A setting that is refused, by the name of its flag.
pub(crate) fn settings_error(error: &SettingsError) -> CliError {
    let mut text = error.to_string();
    for row in Settings::rows() {
        text = text.replace(row.name, &format!("--{}", flag_of(row.name)));
    }
    let refused = CliError::usage(text);
    if error.setting == "max_speculative_timeout" {
        refused.tip(
            "lower --max-speculative-timeout and --first-speculative-timeout too, for instance to \
             200ms and 50ms",
        )
    } else {
        refused
    }
}

/// Returns the rows that have a flag.
fn rows<C: SettingsOf>() -> impl Iterator<Item = &'static SettingRow> {
    Settings::rows().filter(|row| {
        !C::WITHOUT_FLAG.contains(&row.name) && !GROUPS_WITHOUT_FLAG.contains(&row.name)
    })
}

impl<C: SettingsOf> FromArgMatches for SettingFlags<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            recommended: matches.get_flag("recommended"),
            changes: rows::<C>()
                .filter_map(|row| Some((row.name, value_given(matches, row)?)))
                .collect(),
            command: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        Err(clap::Error::new(ErrorKind::InvalidSubcommand))
    }
}

impl<C: SettingsOf> clap::Args for SettingFlags<C> {
    fn augment_args(command: Command) -> Command {
        let recommended = Arg::new("recommended")
            .long("recommended")
            .help(
                "Turn all of these on with their recommended values; flags beside it change \
                   single ones",
            )
            .action(ArgAction::SetTrue)
            .help_heading(GROUPS_HEADING);
        let (plain, groups): (Vec<_>, Vec<_>) = rows::<C>().partition(|row| !is_of_a_group(row));
        let command = command.args(plain.into_iter().map(|row| arg::<C>(row, C::HEADING)));
        command
            .arg(recommended)
            .args(groups.into_iter().map(|row| arg::<C>(row, GROUPS_HEADING)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn is_of_a_group(row: &SettingRow) -> bool {
    let group = row.name.split('.').next().unwrap_or(row.name);
    ["budget", "health", "window", "adaptive"].contains(&group) || ON_OFF.contains(&group)
}

/// Returns `true` if the flag takes `on` or `off`.
fn takes_on_off(row: &SettingRow) -> bool {
    row.unit == "group" || ON_OFF.contains(&row.name)
}

/// Returns the value of a setting's flag, if it was given.
fn value_given(matches: &ArgMatches, row: &SettingRow) -> Option<SettingValue> {
    let flag = flag_of(row.name);
    if takes_on_off(row) {
        return matches.get_one::<SettingValue>(flag).copied();
    }
    given(matches, row, flag)
}

/// Makes the flag of a setting.
fn arg<C: SettingsOf>(row: &'static SettingRow, heading: &'static str) -> Arg {
    let flag = flag_of(row.name);
    let arg = Arg::new(flag).long(flag).help_heading(heading);
    if row.unit == "switch" && !takes_on_off(row) {
        let help = lookup(OFF_HELP, row.name).map_or_else(|| help(row), str::to_owned);
        return arg.help(help).action(ArgAction::SetTrue);
    }
    let (value_name, parser) = value_of(row);
    let arg = arg
        .help(format!("{}{}", help(row), default_note(row, C::base())))
        .value_name(value_name)
        .value_parser(parser)
        .hide_possible_values(takes_on_off(row));
    // A field alone would switch its group on; the group's own flag says so.
    let group = row.name.split('.').next().unwrap_or(row.name);
    if row.name != group && group != "rounds" && flag != group {
        return arg.requires(group);
    }
    arg
}

/// The default for people; of a group that is off, also the recommended value.
fn default_note(row: &SettingRow, base: SettingsBuilder) -> String {
    let text = |value: Option<SettingValue>| match value {
        Some(value) => value_text(value),
        None => "off".to_owned(),
    };
    let default = match (base.value(row.name), row.name) {
        // What holds as soon as the group is on.
        (None, name) if flag_of(name) != name.split('.').next().unwrap_or(name) => {
            text(base.recommended().value(name))
        }
        (value, _) => text(value),
    };
    let recommended = text(base.recommended().value(row.name));
    if default == recommended {
        format!(" [default: {default}]")
    } else {
        format!(" [default: {default}; recommended: {recommended}]")
    }
}

/// The name and the parser of a flag's value.
fn value_of(row: &'static SettingRow) -> (&'static str, ValueParser) {
    match (row.name, row.unit) {
        ("window", _) => ("share|N|off", ValueParser::from(window)),
        ("order", _) => ("any|N", ValueParser::from(order)),
        ("budget.share", _) => ("SHARE|off", ValueParser::from(number_or_off)),
        ("adaptive.quantile", _) => ("QUANTILE|off", ValueParser::from(number_or_off)),
        ("seed", _) => ("SEED", ValueParser::from(count)),
        (_, _) if takes_on_off(row) => {
            let on_off = PossibleValuesParser::new(["on", "off"]);
            (
                "on|off",
                on_off.map(|text| SettingValue::Switch(text == "on")).into(),
            )
        }
        (_, "word") => {
            let words: Vec<&'static str> = row.range.split(" or ").collect();
            let parser = PossibleValuesParser::new(words.clone()).map(move |text| {
                let word = words.iter().find(|word| **word == text);
                SettingValue::Word(word.expect("one of the possible values"))
            });
            ("NAME", parser.into())
        }
        _ => setting_flags::value_of(row),
    }
}

fn number_or_off(text: &str) -> Result<SettingValue, String> {
    if text == "off" {
        return Ok(SettingValue::Switch(false));
    }
    factor(text).map_err(|_| "neither a number, as in 0.05, nor off".to_owned())
}

fn window(text: &str) -> Result<SettingValue, String> {
    match text {
        "off" => Ok(SettingValue::Word("off")),
        "share" => Ok(SettingValue::Word("share")),
        number => number
            .parse::<u16>()
            .map(|attempts| SettingValue::Count(attempts.into()))
            .map_err(|_| "neither share, nor a number up to 65535, nor off".to_owned()),
    }
}

fn order(text: &str) -> Result<SettingValue, String> {
    if text == "any" {
        return Ok(SettingValue::Word("any"));
    }
    let home = text.parse::<u8>();
    home.map(|home| SettingValue::Count(home.into()))
        .map_err(|_| "neither any, nor a number up to 255".to_owned())
}

#[cfg(test)]
mod tests;
