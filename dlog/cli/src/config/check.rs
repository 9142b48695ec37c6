use clap::error::ErrorKind;
use clap::{ArgAction, Command};

use super::super::CliError;
use super::apply::{check_kind, flag, flags};
use super::file::{ConfigFile, Setting};

/// Checks that each table of a file is that of a command, each key one of its flags, and each value
/// one that the flag takes.
///
/// # Errors
/// The first that is not, by its line.
pub(super) fn check(root: &Command, file: &ConfigFile) -> Result<(), CliError> {
    for setting in &file.settings {
        check_setting(root, file, setting)?;
    }
    Ok(())
}

fn check_setting(root: &Command, file: &ConfigFile, setting: &Setting) -> Result<(), CliError> {
    let line = setting.line;
    let mut command = root;
    for name in &setting.command {
        let below = command.find_subcommand(name);
        command = below.ok_or_else(|| {
            let message = format!("there is no command {}", setting.command.join("."));
            let names = command.get_subcommands().map(Command::get_name);
            file.with_nearest(line, &message, name, names)
        })?;
    }
    let Some(arg) = flag(command, &setting.flag) else {
        let names = flags(command).filter_map(|arg| arg.get_long());
        let key = &setting.flag;
        let message = if setting.command.is_empty() {
            format!("there is no key {key} outside of the tables of commands")
        } else {
            format!("{} has no flag --{key}", setting.command.join(" "))
        };
        return Err(file.with_nearest(line, &message, key, names));
    };
    check_kind(file, arg, setting)?;
    // The value alone, on a command of its own: other flags may be missing there.
    let alone = clap::Arg::new("value")
        .long("value")
        .value_parser(arg.get_value_parser().clone())
        .action(if matches!(arg.get_action(), ArgAction::Append) {
            ArgAction::Append
        } else {
            ArgAction::Set
        });
    let values = setting
        .values
        .iter()
        .map(|value| format!("--value={value}"));
    let parsed = Command::new("dlog")
        .arg(alone)
        .try_get_matches_from(core::iter::once("dlog".to_owned()).chain(values));
    match parsed {
        Err(error) if error.kind() != ErrorKind::DisplayHelp => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            let reason = first
                .rsplit_once("<value>': ")
                .or_else(|| first.rsplit_once("<VALUE>': "));
            let reason = reason.map_or_else(|| "it is not valid".to_owned(), |it| it.1.to_owned());
            let value = setting.values.join(", ");
            let message = format!("{} is \"{value}\": {reason}", setting.flag);
            Err(file.refused(line, &message))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
