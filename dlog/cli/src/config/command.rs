use clap::{Arg, ArgAction, Command, Subcommand};

use super::super::output::note;
use super::super::target::{self, Target};
use super::super::{Cli, CliError, Format, Output};
use super::apply::{flag, flags};
use super::check::check;
use super::file::ConfigFile;
use super::shown::DEFAULT;
use super::{Location, Shown, VARIABLE, print};

/// Show and check the configuration file.
///
/// The file has a table for each command, whose keys are the command's flags: they replace the
/// defaults. The command line goes before the environment, the environment before the file.
/// Contexts stand in it too: see dlog context.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  dlog config path
  dlog config show bench
  dlog config check

A file:
  current_context = \"prod\"

  [contexts.prod]
  to = \"inet!proxy-1:8000,proxy-2:8000\"
  http = \"https://proxy-1:8002\"
  token_file = \"prod.token\"

  [proxy]
  http-port = 8002

  [tool.create]
  force = true"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

// Each command's first line of help stands on its arguments.
#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Path(PathArgs),
    Show(ShowArgs),
    Check(CheckArgs),
}

/// Print the path of the configuration file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog config path
  dlog --config ./dlog.toml config path")]
struct PathArgs {}

/// Print settings, their values, and where each comes from.
///
/// Without a command: the place that commands connect to, and each setting that the file or the
/// environment has. With one: each of its settings.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog config show
  dlog config show proxy
  dlog config show tool create --format json")]
struct ShowArgs {
    /// The command
    #[arg(value_name = "COMMAND", num_args = 0..=2)]
    command: Vec<String>,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Check the configuration file: its tables, keys and values, and the files that contexts name.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog config check
  dlog --config ./dlog.toml config check")]
struct CheckArgs {}

impl Args {
    /// Runs the command with the file at `location`, which may be wrong.
    ///
    /// # Errors
    /// The file is not valid, or the output cannot be written.
    pub(crate) fn run(self, location: Option<&Location>, output: &Output) -> Result<(), CliError> {
        let location = location.ok_or_else(|| {
            CliError::failure("this system has no folder for configuration files")
                .tip(format!("name a file with --config FILE or {VARIABLE}"))
        })?;
        match self.command {
            ConfigCommand::Path(PathArgs {}) => output.line(location.path.display()),
            ConfigCommand::Check(CheckArgs {}) => {
                let file = checked(location)?;
                for (name, context) in &file.contexts {
                    target::check(context).map_err(|error| {
                        let at = file.at(context.line);
                        CliError::failure(format!("{at}: context {name}: {}", error.reason()))
                    })?;
                }
                let path = location.path.display();
                if !location.path.exists() {
                    note(format_args!("There is no file {path}: the defaults hold."));
                    return Ok(());
                }
                let (settings, contexts) = (file.settings.len(), file.contexts.len());
                output.line(format_args!(
                    "{path} is valid: {} and {}.",
                    super::super::output::counted(settings as u64, "setting"),
                    super::super::output::counted(contexts as u64, "context"),
                ))
            }
            ConfigCommand::Show(args) => args.show(&checked(location)?, output),
        }
    }
}

fn checked(location: &Location) -> Result<ConfigFile, CliError> {
    let file = location.read()?;
    check(&Cli::laid_out(), &file)?;
    Ok(file)
}

/// Checks a file before a command runs.
///
/// # Errors
/// A key or a value is not valid.
pub(crate) fn check_file(file: &ConfigFile) -> Result<(), CliError> {
    check(&Cli::laid_out(), file)
}

impl ShowArgs {
    fn show(&self, file: &ConfigFile, output: &Output) -> Result<(), CliError> {
        let mut root = Cli::laid_out();
        root.build();
        let mut shown = Vec::new();
        if self.command.is_empty() {
            shown.extend(where_shown(file)?);
            shown.extend(all_shown(&root, &[], file, false));
        } else {
            let mut command = &root;
            for name in self.command.iter().flat_map(|name| name.split('.')) {
                command = command.find_subcommand(name).ok_or_else(|| {
                    let name = self.command.join(" ");
                    CliError::usage(format!("there is no command {name}"))
                        .tip("list the commands with: dlog --help")
                })?;
            }
            let path: Vec<String> = self
                .command
                .iter()
                .flat_map(|name| name.split('.'))
                .map(str::to_owned)
                .collect();
            shown.extend(all_shown(command, &path, file, true));
        }
        print(shown, self.format, output)
    }
}

/// Describes the place that commands connect to without flags.
fn where_shown(file: &ConfigFile) -> Result<Vec<Shown>, CliError> {
    let found = target::TargetArgs::default().resolve_in(file, None, &|name| {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    });
    let Ok(Target {
        place,
        context,
        source,
        ..
    }) = found
    else {
        return Ok(vec![Shown::of("where", None, "", "none")]);
    };
    let mut shown = vec![Shown {
        setting: "where".to_owned(),
        value: place.to_string(),
        source,
    }];
    if let Some((name, context)) = context.and_then(|name| {
        let context = file.contexts.get(&name)?;
        Some((name, context))
    }) {
        for (key, line) in &context.lines {
            if let Some(value) = context.text(*key) {
                shown.push(Shown {
                    setting: format!("contexts.{name}.{}", key.name()),
                    value,
                    source: file.at(*line),
                });
            }
        }
    }
    Ok(shown)
}

/// Describes the flags of a command, and without `all` only those of it and of the commands below
/// it that are not at their defaults.
fn all_shown(command: &Command, path: &[String], file: &ConfigFile, all: bool) -> Vec<Shown> {
    let is_global = |arg: &&Arg| path.is_empty() || !arg.is_global_set();
    let mut shown: Vec<Shown> = flags(command)
        .filter(is_global)
        .map(|arg| shown(command, arg, path, file, all))
        .filter(|it| all || it.source != DEFAULT)
        .collect();
    let below = command.get_subcommands();
    for below in below.filter(|it| it.get_name() != "help" && !it.is_hide_set()) {
        let mut path = path.to_vec();
        path.push(below.get_name().to_owned());
        if !all || !below.has_subcommands() {
            shown.extend(all_shown(below, &path, file, all));
        }
    }
    shown
}

fn shown(command: &Command, arg: &Arg, path: &[String], file: &ConfigFile, short: bool) -> Shown {
    let flag_name = arg.get_long().unwrap_or_default();
    let name = if short || path.is_empty() {
        flag_name.to_owned()
    } else {
        format!("{}.{flag_name}", path.join("."))
    };
    let is_path = |names: &[String]| {
        let same = |(one, other): (&String, &String)| one.replace('_', "-") == *other;
        names.len() == path.len() && names.iter().zip(path).all(same)
    };
    let in_file = file.settings.iter().rev().find(|it| {
        let found = flag(command, &it.flag);
        is_path(&it.command) && found.is_some_and(|it| it.get_id() == arg.get_id())
    });
    let from_env = arg.get_env().and_then(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((value, name.to_string_lossy().into_owned()))
    });
    let (value, source) = match (from_env, in_file) {
        (Some(found), _) => found,
        (None, Some(setting)) => (setting.values.join(", "), file.at(setting.line)),
        (None, None) => (default_text(arg), DEFAULT.to_owned()),
    };
    Shown {
        setting: name,
        value,
        source,
    }
}

/// Returns the default of a flag: clap's, or the one that its help says.
fn default_text(arg: &Arg) -> String {
    let values = arg.get_default_values();
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return "false".to_owned();
    }
    if !values.is_empty() {
        let values: Vec<_> = values.iter().map(|it| it.to_string_lossy()).collect();
        return values.join(", ");
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let said = help.rsplit_once("[default: ").map(|(_, rest)| rest);
    let said = said.and_then(|rest| rest.split([']', ';']).next());
    said.unwrap_or("none").to_owned()
}
