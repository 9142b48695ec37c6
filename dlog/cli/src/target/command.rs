use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use toml_edit::{Array, Item, Table, Value};

use super::super::config::{self, ConfigFile, ContextKey, Location, edit};
use super::super::output::note;
use super::super::place::Place;
use super::super::streams::{StreamList, as_argument};
use super::super::{CliError, Format, Output, record_text};

/// Name places, and choose the one that commands connect to.
///
/// A context is a name for an installation: its namespace, its proxies or its HTTP port, and the
/// files of a token and of TLS that a client shows there. Contexts stand in the configuration file:
/// see dlog config. A token is never in it, only the name of its file.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  dlog context add local --to distributedlog://127.0.0.1:7000/messaging/distributedlog
  dlog context add prod --to 'inet!proxy-1:8000,proxy-2:8000' --http https://proxy-1:8002 \\
      --tls-ca ca.pem --token-file prod.token --streams orders-1,orders-2,orders-3
  dlog context use prod
  dlog context list"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ContextCommand,
}

// Each command's first line of help stands on its arguments.
#[derive(Debug, Subcommand)]
enum ContextCommand {
    Add(Box<AddArgs>),
    Use(UseArgs),
    #[command(alias = "ls")]
    List(ListArgs),
    Show(ShowArgs),
    #[command(alias = "rm")]
    Remove(RemoveArgs),
}

/// Add a context, or replace one.
///
/// The first one becomes the current one. Checks the places, the names and the files, and connects
/// to nothing: dlog doctor does that.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog context add local --to 'inet!127.0.0.1:8000' --http http://127.0.0.1:8002
  dlog context add prod --to https://proxy-1:8002 --token-file prod.token --use")]
struct AddArgs {
    /// The name of the context
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,

    /// Where the streams are: a namespace (distributedlog://HOST:PORT/NAMESPACE), write proxies
    /// (inet!HOST:PORT), or the HTTP port of a proxy (http://HOST:PORT)
    #[arg(long, value_name = "WHERE")]
    to: Place,

    /// The same installation's namespace, if --to is something else
    #[arg(long, value_name = "URI")]
    namespace: Option<Place>,

    /// The same installation's write proxies, if --to is something else
    #[arg(long, value_name = "NAME")]
    proxies: Option<Place>,

    /// The same installation's HTTP port, if --to is something else
    #[arg(long, value_name = "URL")]
    http: Option<Place>,

    /// The streams of commands that name none
    #[arg(long, value_name = "STREAM[,STREAM]")]
    streams: Option<StreamList>,

    /// Show the token in this file to the HTTP port
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Speak TLS to write proxies. The flags below imply it
    #[arg(long)]
    tls: bool,

    /// Trust the authorities in this file (PEM) besides those of this machine
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// Show this certificate chain (PEM) to servers that ask for one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The private key of --tls-certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// The name that the servers' certificates must be for [default: the host that is connected to]
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,

    /// Make it the current context
    #[arg(long = "use")]
    is_used: bool,

    /// Replace a context of this name
    #[arg(short, long)]
    force: bool,
}

/// Choose the current context, which commands use that name no place.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog context use prod
  dlog context use --none")]
struct UseArgs {
    /// The name of the context
    #[arg(
        value_name = "NAME",
        required_unless_present = "none",
        conflicts_with = "none"
    )]
    name: Option<String>,

    /// Have no current context
    #[arg(long)]
    none: bool,
}

/// List the contexts; the current one is marked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog context list
  dlog context list --format json")]
struct ListArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Show a context.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog context show
  dlog context show prod --format json")]
struct ShowArgs {
    /// The name of the context [default: the current one]
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Remove a context. The files that it names stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog context remove prod")]
struct RemoveArgs {
    /// The name of the context
    #[arg(value_name = "NAME")]
    name: String,
}

/// Checks the name of a context: it is typed in shells.
fn name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_valid = !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain);
    if is_valid && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err("a name has up to 64 letters, digits, hyphens, points and underscores".to_owned())
    }
}

/// A context in JSON. Values as the file has them.
#[derive(Serialize)]
struct ContextJson<'a> {
    context: &'a str,
    current: bool,
    to: Option<String>,
    namespace: Option<String>,
    proxies: Option<String>,
    http: Option<String>,
    streams: Option<Vec<&'a str>>,
    token_file: Option<String>,
    tls: bool,
    tls_ca: Option<String>,
    tls_certificate: Option<String>,
    tls_key: Option<String>,
    tls_name: Option<String>,
}

impl<'a> ContextJson<'a> {
    fn of(name: &'a str, file: &'a ConfigFile) -> Result<Self, CliError> {
        let context = file.context(name)?;
        let text = |key| context.text(key);
        let streams = context.streams.as_ref();
        Ok(Self {
            context: name,
            current: is_current(file, name),
            to: text(ContextKey::To),
            namespace: text(ContextKey::Namespace),
            proxies: text(ContextKey::Proxies),
            http: text(ContextKey::Http),
            streams: streams.map(|names| names.iter().map(|name| name.as_str()).collect()),
            token_file: text(ContextKey::TokenFile),
            tls: context.tls,
            tls_ca: text(ContextKey::TlsCa),
            tls_certificate: text(ContextKey::TlsCertificate),
            tls_key: text(ContextKey::TlsKey),
            tls_name: text(ContextKey::TlsName),
        })
    }
}

fn is_current(file: &ConfigFile, name: &str) -> bool {
    let current = file.current.as_ref();
    current.is_some_and(|(current, _)| current == name)
}

impl Args {
    /// Runs the command with the file at `location`.
    ///
    /// # Errors
    /// The file cannot be read or written, or a value is not valid.
    pub(crate) fn run(self, location: Option<&Location>, output: &Output) -> Result<(), CliError> {
        let location = location.ok_or_else(|| {
            CliError::failure("this system has no folder for configuration files").tip(format!(
                "name a file with --config FILE or {}",
                config::VARIABLE
            ))
        })?;
        match self.command {
            ContextCommand::Add(args) => args.run(&location.path, output),
            ContextCommand::Use(args) => args.run(&location.path, output),
            ContextCommand::Remove(args) => args.run(&location.path, output),
            ContextCommand::List(args) => args.run(&location.read()?, output),
            ContextCommand::Show(args) => args.run(&location.read()?, output),
        }
    }
}

impl AddArgs {
    fn run(&self, path: &Path, output: &Output) -> Result<(), CliError> {
        let values = self.values()?;
        let name = &self.name;
        let mut is_first = false;
        let file = edit(path, |document| {
            let contexts = document.entry(config::CONTEXTS);
            let contexts = contexts.or_insert_with(|| {
                let mut table = Table::new();
                table.set_implicit(true);
                Item::Table(table)
            });
            let contexts = contexts.as_table_mut().ok_or_else(|| {
                CliError::usage(format!(
                    "{} is no table in {}",
                    config::CONTEXTS,
                    path.display()
                ))
            })?;
            if contexts.contains_key(name) && !self.force {
                let error = CliError::usage(format!("the context {name} exists already"));
                return Err(error.tip("replace it with: -f"));
            }
            is_first = contexts.is_empty();
            config::put_context(contexts, name, &values);
            if is_first || self.is_used {
                set_current(document, Some(name));
            }
            Ok(())
        });
        let file = file?;
        output.line(format_args!(
            "Added the context {name} to {}.",
            path.display()
        ))?;
        if is_current(&file, name) {
            output.line(format_args!("The current context is {name}."))?;
        }
        Ok(())
    }

    /// Returns the keys of the context, checked.
    fn values(&self) -> Result<Vec<(ContextKey, Value)>, CliError> {
        use ContextKey as Key;
        let mut values = vec![(Key::To, self.to.to_string().into())];
        for (key, flag, place) in [
            (Key::Namespace, "--namespace", &self.namespace),
            (Key::Proxies, "--proxies", &self.proxies),
            (Key::Http, "--http", &self.http),
        ] {
            let Some(place) = place else { continue };
            if place.kind() != key.name() {
                let kind = place.kind_text();
                return Err(CliError::usage(format!("{flag} is {kind}: {place}")));
            }
            values.push((key, place.to_string().into()));
        }
        if let Some(streams) = &self.streams {
            let names: Array = streams.names().iter().map(|name| name.as_str()).collect();
            values.push((Key::Streams, names.into()));
        }
        if self.tls {
            values.push((Key::Tls, true.into()));
        }
        for (key, file) in [
            (Key::TokenFile, &self.token_file),
            (Key::TlsCa, &self.tls_ca),
            (Key::TlsCertificate, &self.tls_certificate),
            (Key::TlsKey, &self.tls_key),
        ] {
            let Some(file) = file else { continue };
            let absolute = std::path::absolute(file);
            let absolute = absolute.unwrap_or_else(|_| file.clone());
            let text = absolute.to_str().ok_or_else(|| {
                CliError::usage(format!("the path {} is not UTF-8", file.display()))
            })?;
            values.push((key, text.into()));
        }
        if let Some(name) = &self.tls_name {
            values.push((Key::TlsName, name.as_str().into()));
        }
        let files = super::SecurityFiles {
            token: self.token_file.clone(),
            tls: self.tls,
            ca: self.tls_ca.clone(),
            certificate: self.tls_certificate.clone(),
            key: self.tls_key.clone(),
            name: self.tls_name.clone(),
        };
        files.read()?;
        Ok(values)
    }
}

fn set_current(document: &mut toml_edit::DocumentMut, name: Option<&str>) {
    match name {
        Some(name) => config::set_value(document.as_table_mut(), config::CURRENT, name.into()),
        None => drop(document.remove(config::CURRENT)),
    }
}

impl UseArgs {
    fn run(&self, path: &Path, output: &Output) -> Result<(), CliError> {
        let name = self.name.as_deref().filter(|_| !self.none);
        edit(path, |document| {
            if let Some(name) = name {
                // The text of the file, which is valid: the error has the nearest name.
                ConfigFile::parse(path, &document.to_string())?.context(name)?;
            }
            set_current(document, name);
            Ok(())
        })?;
        match name {
            Some(name) => output.line(format_args!("The current context is {name}.")),
            None => output.line("There is no current context."),
        }
    }
}

impl RemoveArgs {
    fn run(&self, path: &Path, output: &Output) -> Result<(), CliError> {
        let name = &self.name;
        let mut was_current = false;
        edit(path, |document| {
            let file = ConfigFile::parse(path, &document.to_string())?;
            file.context(name)?;
            was_current = is_current(&file, name);
            if was_current {
                set_current(document, None);
            }
            let contexts = document.get_mut(config::CONTEXTS);
            let contexts = contexts.and_then(Item::as_table_like_mut);
            contexts.and_then(|contexts| contexts.remove(name));
            Ok(())
        })?;
        output.line(format_args!("Removed the context {name}."))?;
        if was_current {
            output.line("There is no current context.")?;
        }
        Ok(())
    }
}

impl ListArgs {
    fn run(&self, file: &ConfigFile, output: &Output) -> Result<(), CliError> {
        if file.contexts.is_empty() && self.format == Format::Text {
            note(format_args!(
                "There is no context in {}. Add one with: dlog context add NAME --to WHERE",
                file.path.display()
            ));
            return Ok(());
        }
        let longest = file.names().map(|name| name.chars().count()).max();
        let width = longest.unwrap_or(0).max("NAME".len());
        if self.format == Format::Text {
            output.line(format_args!("  {:width$}  WHERE", "NAME"))?;
        }
        for (name, context) in &file.contexts {
            if self.format == Format::Json {
                record_text::json_line(output, &ContextJson::of(name, file)?)?;
                continue;
            }
            let mark = if is_current(file, name) { '*' } else { ' ' };
            let mut places = context.text(ContextKey::To).unwrap_or_default();
            for key in [ContextKey::Namespace, ContextKey::Proxies, ContextKey::Http] {
                if let Some(text) = context.text(key) {
                    places.push_str(&format!(" {text}"));
                }
            }
            if let Some(streams) = &context.streams {
                places.push_str(&format!(" {}", as_argument(streams)));
            }
            output.line(format_args!("{mark} {name:width$}  {places}"))?;
        }
        Ok(())
    }
}

impl ShowArgs {
    fn run(&self, file: &ConfigFile, output: &Output) -> Result<(), CliError> {
        let current = || file.current.as_ref().map(|(name, _)| name.as_str());
        let name = self.name.as_deref().or_else(current).ok_or_else(|| {
            CliError::usage("there is no current context")
                .tip("name one, or choose one with: dlog context use NAME")
        })?;
        let context = file.context(name)?;
        if self.format == Format::Json {
            return record_text::json_line(output, &ContextJson::of(name, file)?);
        }
        output.line(format_args!("{:16} {name}", "context"))?;
        for key in ContextKey::ALL {
            if let Some(text) = context.text(key) {
                output.line(format_args!("{:16} {text}", key.name()))?;
            }
        }
        Ok(())
    }
}
