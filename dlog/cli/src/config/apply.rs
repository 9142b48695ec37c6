use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::super::CliError;
use super::file::{ConfigFile, Setting};

/// Flags that a file cannot set: they choose the file, or print something else.
const WITHOUT_KEY: &[&str] = &["config", "help", "version"];

/// Flags that name a place, and environment variables that go before a file's value of either.
const PLACE_FLAGS: &[&str] = &["to", "uri"];
const PLACE_VARIABLES: &[&str] = &["DLOG_TO", "DLOG_URI"];

/// Settings of a file that are in effect for the command that runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    /// Flag and line of the file.
    origins: BTreeMap<String, String>,
}

impl Applied {
    /// Returns the file and the line that set this flag.
    pub(crate) fn origin(&self, flag: &str) -> Option<String> {
        self.origins.get(flag).cloned()
    }
}

/// Reads a command line with the settings of a file as defaults: the command line and the
/// environment go before them. A setting that excludes a flag that was given has no effect.
///
/// # Errors
/// A usage error, or the command line asks for help or the version.
pub(crate) fn apply(
    command: &Command,
    args: &[OsString],
    file: &ConfigFile,
) -> Result<(ArgMatches, Applied), clap::Error> {
    let mut used: Vec<&Setting> = file.settings.iter().filter(|it| !is_replaced(it)).collect();
    // Bounded: each round but the last removes a setting.
    loop {
        let with_file = with_defaults(command.clone(), &used);
        let matches = with_file.clone().try_get_matches_from(args)?;
        let leaf = Leaf::of(&with_file, &matches);
        let excluded = used.iter().position(|it| leaf.excludes(it));
        match excluded {
            Some(index) => drop(used.remove(index)),
            None => {
                let applied = used.iter().filter(|it| leaf.takes(it));
                let origins = applied.map(|it| (it.flag.clone(), file.at(it.line)));
                let origins = origins.collect();
                return Ok((matches, Applied { origins }));
            }
        }
    }
}

/// Returns true if the environment has another place.
fn is_replaced(setting: &Setting) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    PLACE_FLAGS.contains(&setting.flag.as_str()) && PLACE_VARIABLES.iter().any(|it| is_set(it))
}

/// The command that runs.
struct Leaf<'a> {
    command: &'a Command,
    matches: &'a ArgMatches,
    path: Vec<&'a str>,
}

impl<'a> Leaf<'a> {
    fn of(command: &'a Command, matches: &'a ArgMatches) -> Self {
        let mut leaf = Leaf {
            command,
            matches,
            path: Vec::new(),
        };
        // Bounded by the depth of the commands.
        while let Some((name, below)) = leaf.matches.subcommand() {
            let Some(command) = leaf.command.find_subcommand(name) else {
                break;
            };
            leaf.path.push(command.get_name());
            (leaf.command, leaf.matches) = (command, below);
        }
        leaf
    }

    fn arg(&self, setting: &Setting) -> Option<&'a Arg> {
        let is_of_leaf = setting.command.is_empty() || setting.command == self.path;
        let found = is_of_leaf.then(|| flag(self.command, &setting.flag))?;
        found.filter(|_| !setting.command.is_empty())
    }

    /// Returns true if the setting gives a flag of this command its value.
    fn takes(&self, setting: &Setting) -> bool {
        self.arg(setting).is_some_and(|arg| {
            self.matches.value_source(arg.get_id().as_str()) == Some(ValueSource::DefaultValue)
        })
    }

    /// Returns true if the setting's flag cannot be beside one that was given.
    fn excludes(&self, setting: &Setting) -> bool {
        let Some(arg) = self.arg(setting).filter(|_| self.takes(setting)) else {
            return false;
        };
        let is_given = |other: &&Arg| {
            let source = self.matches.try_contains_id(other.get_id().as_str());
            let source = source.ok().filter(|it| *it);
            let source = source.and_then(|_| self.matches.value_source(other.get_id().as_str()));
            source.is_some_and(|source| source != ValueSource::DefaultValue)
        };
        let excludes = |one: &Arg, other: &Arg| {
            let mut conflicts = self.command.get_arg_conflicts_with(one).into_iter();
            conflicts.any(|it| it.get_id() == other.get_id())
        };
        let mut given = self.command.get_arguments().filter(is_given);
        given.any(|other| excludes(arg, other) || excludes(other, arg))
    }
}

/// Gives the flags of the settings their values as defaults. Settings of unknown commands and flags
/// are left out: [`check`](super::check) reports them.
fn with_defaults(mut command: Command, settings: &[&Setting]) -> Command {
    for setting in settings {
        command = with_default(command, &setting.command, setting);
    }
    command
}

fn with_default(command: Command, path: &[String], setting: &Setting) -> Command {
    let Some((name, below)) = path.split_first() else {
        let Some(arg) = flag(&command, &setting.flag) else {
            return command;
        };
        let id = arg.get_id().clone();
        return command.mut_arg(id.as_str(), |arg| default_of(arg, setting));
    };
    let Some(found) = command.find_subcommand(name) else {
        return command;
    };
    let name = found.get_name().to_owned();
    command.mut_subcommand(name, |command| with_default(command, below, setting))
}

fn default_of(arg: Arg, setting: &Setting) -> Arg {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    if is_switch && setting.values == ["false"] {
        return arg;
    }
    let is_count = matches!(arg.get_action(), ArgAction::Count);
    let had_default = !arg.get_default_values().is_empty();
    let arg = arg
        .required(false)
        .hide_default_value(!is_count && (is_switch || !had_default));
    let arg = if is_switch {
        // `--flag=false` takes back on the command line what the file switches on.
        arg.action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(clap::value_parser!(bool))
            .hide_possible_values(true)
    } else {
        arg
    };
    // Clap keeps defaults for the life of the program. Bounded by the length of the file.
    let values = setting.values.iter().map(|value| &*value.clone().leak());
    arg.default_values(values)
}

/// Returns the flag of a command that a key of a file names.
pub(super) fn flag<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    flags(command).find(|arg| names(arg).any(|name| name == key))
}

/// Returns the flags of a command that a file can set.
pub(super) fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        let long = arg.get_long();
        long.is_some_and(|long| !WITHOUT_KEY.contains(&long))
    })
}

fn names(arg: &Arg) -> impl Iterator<Item = &str> {
    let aliases = arg.get_all_aliases().unwrap_or_default();
    arg.get_long().into_iter().chain(aliases)
}

/// Refuses what would be no default of a flag.
pub(super) fn check_kind(file: &ConfigFile, arg: &Arg, setting: &Setting) -> Result<(), CliError> {
    let flag = &setting.flag;
    let is_set = matches!(arg.get_action(), ArgAction::Set);
    let message = if matches!(arg.get_action(), ArgAction::SetTrue) && !setting.is_switch {
        format!("{flag} is a switch; write true or false")
    } else if is_set && setting.values.len() != 1 {
        format!("{flag} takes one value, and this is a list")
    } else if is_set && setting.is_switch {
        format!("{flag} takes a value, which is neither true nor false")
    } else if setting.values.is_empty() {
        format!("{flag} is an empty list")
    } else {
        return Ok(());
    };
    Err(file.refused(setting.line, &message))
}
