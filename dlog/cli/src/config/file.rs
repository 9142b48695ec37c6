use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, Key, Table, TableLike, Value};

use super::super::CliError;
use super::super::place::Place;
use super::super::streams::parse_name;
use super::nearest::nearest;
use distributedlog_store::StreamName;

/// Key of the name of the current context.
pub(crate) const CURRENT: &str = "current_context";

/// Key of the table of contexts.
pub(crate) const CONTEXTS: &str = "contexts";

/// Longest file that is read. A thousand contexts are a tenth of it.
const MAX_BYTES: usize = 1 << 20;

/// A configuration file that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    /// Flags of commands, in the order of the file.
    pub(crate) settings: Vec<Setting>,
    pub(crate) contexts: BTreeMap<String, Context>,
    /// The current context, and its line.
    pub(crate) current: Option<(String, usize)>,
}

/// A flag of a command, as the file sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Names of the command as the file has them; none for the flags of all commands.
    pub(crate) command: Vec<String>,
    /// Name of the flag, without dashes in front.
    pub(crate) flag: String,
    pub(crate) values: Vec<String>,
    /// The value is `true` or `false`.
    pub(crate) is_switch: bool,
    pub(crate) line: usize,
}

/// A named place: the ports of one installation, and what a client shows there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    pub(crate) to: Option<Place>,
    pub(crate) namespace: Option<Place>,
    pub(crate) proxies: Option<Place>,
    pub(crate) http: Option<Place>,
    pub(crate) streams: Option<Vec<StreamName>>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) tls: bool,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) tls_name: Option<String>,
    /// Line of each key that is set.
    pub(crate) lines: BTreeMap<ContextKey, usize>,
    /// Line of the table.
    pub(crate) line: usize,
}

/// Key of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ContextKey {
    To,
    Namespace,
    Proxies,
    Http,
    Streams,
    TokenFile,
    Tls,
    TlsCa,
    TlsCertificate,
    TlsKey,
    TlsName,
}

impl ContextKey {
    /// All keys, in the order in which they are shown.
    pub(crate) const ALL: [Self; 11] = [
        Self::To,
        Self::Namespace,
        Self::Proxies,
        Self::Http,
        Self::Streams,
        Self::TokenFile,
        Self::Tls,
        Self::TlsCa,
        Self::TlsCertificate,
        Self::TlsKey,
        Self::TlsName,
    ];

    /// Returns the key as the file has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::Namespace => "namespace",
            Self::Proxies => "proxies",
            Self::Http => "http",
            Self::Streams => "streams",
            Self::TokenFile => "token_file",
            Self::Tls => "tls",
            Self::TlsCa => "tls_ca",
            Self::TlsCertificate => "tls_certificate",
            Self::TlsKey => "tls_key",
            Self::TlsName => "tls_name",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

impl Context {
    /// Returns the value of a key as text, if it is set.
    pub(crate) fn text(&self, key: ContextKey) -> Option<String> {
        fn path(path: Option<&PathBuf>) -> Option<String> {
            path.map(|it| it.display().to_string())
        }
        let place = |place: Option<&Place>| place.map(ToString::to_string);
        match key {
            ContextKey::To => place(self.to.as_ref()),
            ContextKey::Namespace => place(self.namespace.as_ref()),
            ContextKey::Proxies => place(self.proxies.as_ref()),
            ContextKey::Http => place(self.http.as_ref()),
            ContextKey::Streams => self.streams.as_ref().map(|names| {
                let names: Vec<&str> = names.iter().map(StreamName::as_str).collect();
                names.join(", ")
            }),
            ContextKey::TokenFile => path(self.token_file.as_ref()),
            ContextKey::Tls => self.tls.then(|| "true".to_owned()),
            ContextKey::TlsCa => path(self.tls_ca.as_ref()),
            ContextKey::TlsCertificate => path(self.tls_certificate.as_ref()),
            ContextKey::TlsKey => path(self.tls_key.as_ref()),
            ContextKey::TlsName => self.tls_name.clone(),
        }
    }
}

impl ConfigFile {
    /// Returns a file without any setting.
    pub(crate) fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            ..Self::default()
        }
    }

    /// Parses the text of a file. Flags are checked by [`apply`](super::apply), which knows the
    /// commands.
    ///
    /// # Errors
    /// The text is not TOML, or a context is not valid.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, CliError> {
        let mut file = Self::empty(path);
        if text.len() > MAX_BYTES {
            let message = format!("{} is longer than {MAX_BYTES} bytes", path.display());
            return Err(CliError::usage(message));
        }
        let document = Document::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            file.refused(line, error.message().trim())
        })?;
        let reading = Reading { text };
        for (key, item) in pairs(document.as_table()) {
            let line = reading.line(key);
            match (key.get(), item.as_table_like()) {
                (CONTEXTS, Some(contexts)) => file.read_contexts(&reading, contexts)?,
                (name, None) if name.replace('-', "_") == CURRENT => {
                    let name = item.as_str().ok_or_else(|| {
                        file.refused(line, &format!("{CURRENT} must be a text: the name of one"))
                    })?;
                    file.current = Some((name.to_owned(), line));
                }
                (name, Some(table)) => {
                    let command: Vec<String> = name.split('.').map(str::to_owned).collect();
                    file.read_table(&reading, &command, table)?;
                }
                (name, None) => file.read_setting(&[], name, item, line)?,
            }
        }
        file.check_current()?;
        Ok(file)
    }

    fn check_current(&self) -> Result<(), CliError> {
        match &self.current {
            Some((name, line)) if !self.contexts.contains_key(name) => {
                let missing = format!("{CURRENT} is \"{name}\", and there is no such context");
                Err(self.with_nearest(*line, &missing, name, self.names()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the names of the contexts.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.contexts.keys().map(String::as_str)
    }

    /// Returns a context.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn context(&self, name: &str) -> Result<&Context, CliError> {
        self.contexts.get(name).ok_or_else(|| {
            let place = self.path.display();
            let error = CliError::usage(format!("there is no context \"{name}\" in {place}"));
            if self.contexts.is_empty() {
                return error.tip(format!("add it with: dlog context add {name} --to WHERE"));
            }
            let names: Vec<&str> = self.names().collect();
            error.tip(match nearest(name, self.names()) {
                Some(near) => format!("is {near} meant? List them with: dlog context list"),
                None => format!("the contexts are: {}", names.join(", ")),
            })
        })
    }

    /// Makes an error that names the file and a line.
    pub(crate) fn refused(&self, line: usize, message: &str) -> CliError {
        CliError::usage(format!("{}: {message}", self.at(line)))
            .tip("check the file with: dlog config check")
    }

    /// Returns the file and a line, as in `config.toml:3`.
    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// Makes an error that proposes the nearest of the valid words.
    pub(crate) fn with_nearest<'a>(
        &self,
        line: usize,
        message: &str,
        word: &str,
        words: impl IntoIterator<Item = &'a str>,
    ) -> CliError {
        match nearest(word, words) {
            Some(near) => self.refused(line, &format!("{message}; is {near} meant?")),
            None => self.refused(line, message),
        }
    }

    fn read_table(
        &mut self,
        reading: &Reading<'_>,
        command: &[String],
        table: &dyn TableLike,
    ) -> Result<(), CliError> {
        for (key, item) in pairs(table) {
            if let Some(below) = item.as_table_like() {
                // Bounded: the parser limits how deep tables are nested.
                let mut command = command.to_vec();
                command.push(key.get().to_owned());
                self.read_table(reading, &command, below)?;
            } else {
                self.read_setting(command, key.get(), item, reading.line(key))?;
            }
        }
        Ok(())
    }

    fn read_setting(
        &mut self,
        command: &[String],
        name: &str,
        item: &Item,
        line: usize,
    ) -> Result<(), CliError> {
        let values = match item.as_value() {
            Some(Value::Array(array)) => array.iter().map(scalar).collect(),
            Some(value) => scalar(value).map(|value| vec![value]),
            None => None,
        };
        let Some(values) = values else {
            let message = format!("{name} must be a text, a number, true, false, or a list");
            return Err(self.refused(line, &message));
        };
        self.settings.push(Setting {
            command: command.to_vec(),
            flag: name.replace('_', "-"),
            values,
            is_switch: item.is_bool(),
            line,
        });
        Ok(())
    }

    fn read_contexts(
        &mut self,
        reading: &Reading<'_>,
        contexts: &dyn TableLike,
    ) -> Result<(), CliError> {
        for (key, item) in pairs(contexts) {
            let line = reading.line(key);
            let Some(table) = item.as_table_like() else {
                let message = format!("{} must be a table: [{CONTEXTS}.{key}]", key.get());
                return Err(self.refused(line, &message));
            };
            let mut context = Context {
                line,
                ..Context::default()
            };
            for (key, item) in pairs(table) {
                self.read_context_key(&mut context, key.get(), item, reading.line(key))?;
            }
            if context.to.is_none() {
                let message = format!("the context {} has no key to = \"WHERE\"", key.get());
                return Err(self.refused(line, &message));
            }
            self.contexts.insert(key.get().to_owned(), context);
        }
        Ok(())
    }

    fn read_context_key(
        &self,
        context: &mut Context,
        name: &str,
        item: &Item,
        line: usize,
    ) -> Result<(), CliError> {
        let Some(key) = ContextKey::of(name) else {
            if ["token", "password", "secret", "tls_key_password"].contains(&name) {
                let message = format!(
                    "{name} has no place here: this file names files with secrets, as in \
                     token_file = \"/path\""
                );
                return Err(self.refused(line, &message));
            }
            let keys = ContextKey::ALL.map(ContextKey::name);
            let message = format!("a context has no key {name}");
            return Err(self.with_nearest(line, &message, name, keys));
        };
        context.lines.insert(key, line);
        let name = key.name();
        let text = || {
            let text = item.as_str();
            text.ok_or_else(|| self.refused(line, &format!("{name} must be a text")))
        };
        let place = || {
            let place = text()?.parse::<Place>();
            place.map_err(|error| self.refused(line, &format!("{name}: {error}")))
        };
        match key {
            ContextKey::To => context.to = Some(place()?),
            ContextKey::Namespace | ContextKey::Proxies | ContextKey::Http => {
                let place = place()?;
                if place.kind() != name {
                    let message = format!("{name} is {}: {place}", place.kind_text());
                    return Err(self.refused(line, &message));
                }
                let kept = match place {
                    Place::Namespace(_) => &mut context.namespace,
                    Place::Proxies(_) => &mut context.proxies,
                    Place::Http(_) => &mut context.http,
                };
                *kept = Some(place);
            }
            ContextKey::Streams => context.streams = Some(self.streams(item, line)?),
            ContextKey::Tls => {
                let value = item.as_bool();
                context.tls =
                    value.ok_or_else(|| self.refused(line, "tls must be true or false"))?;
            }
            ContextKey::TlsName => context.tls_name = Some(text()?.to_owned()),
            ContextKey::TokenFile => context.token_file = Some(self.absolute(text()?)),
            ContextKey::TlsCa => context.tls_ca = Some(self.absolute(text()?)),
            ContextKey::TlsCertificate => context.tls_certificate = Some(self.absolute(text()?)),
            ContextKey::TlsKey => context.tls_key = Some(self.absolute(text()?)),
        }
        Ok(())
    }

    fn streams(&self, item: &Item, line: usize) -> Result<Vec<StreamName>, CliError> {
        let names = item.as_array().and_then(|names| {
            let names = names.iter().map(|name| name.as_str());
            names.collect::<Option<Vec<&str>>>()
        });
        let names = names.filter(|names| !names.is_empty()).ok_or_else(|| {
            self.refused(
                line,
                "streams must be a list of names, as in [\"a\", \"b\"]",
            )
        })?;
        let names = names.into_iter().map(parse_name);
        let names: Result<Vec<StreamName>, String> = names.collect();
        names.map_err(|error| self.refused(line, &error))
    }

    /// Returns the path of a file that this one names: relative to its folder, or to the user's
    /// home behind `~/`.
    fn absolute(&self, text: &str) -> PathBuf {
        if let (Some(rest), Some(home)) = (text.strip_prefix("~/"), dirs::home_dir()) {
            return home.join(rest);
        }
        let folder = self.path.parent().unwrap_or_else(|| Path::new(""));
        folder.join(text)
    }
}

/// The text that is parsed, for the lines of its keys.
struct Reading<'a> {
    text: &'a str,
}

impl Reading<'_> {
    fn line(&self, key: &Key) -> usize {
        key.span().map_or(1, |span| line_of(self.text, span.start))
    }
}

/// Returns the keys of a table with their values. The iterator of a table has no spans.
fn pairs(table: &dyn TableLike) -> impl Iterator<Item = (&Key, &Item)> {
    table
        .iter()
        .filter_map(|(name, _)| table.get_key_value(name))
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Returns a value as a flag takes it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Float(number) => Some(number.value().to_string()),
        Value::Boolean(switch) => Some(switch.value().to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::InlineTable(_) => None,
    }
}

/// Sets a key. Comments beside one that is there stay.
pub(crate) fn set_value(table: &mut dyn TableLike, key: &str, mut value: Value) {
    if let Some(Item::Value(old)) = table.get_mut(key) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
    } else {
        table.insert(key, Item::Value(value));
    }
}

/// Adds a table of a context to an edited document, or replaces the values of the one that is
/// there: comments beside other keys stay.
pub(crate) fn put_context(contexts: &mut Table, name: &str, values: &[(ContextKey, Value)]) {
    let item = contexts
        .entry(name)
        .or_insert_with(|| Item::Table(Table::new()));
    if let Some(table) = item.as_table_like_mut() {
        let keeps = |name: &str| {
            values
                .iter()
                .any(|(key, _)| Some(*key) == ContextKey::of(name))
        };
        let gone: Vec<String> = table.iter().map(|(name, _)| name.to_owned()).collect();
        for name in gone.iter().filter(|name| !keeps(name)) {
            table.remove(name);
        }
        for (key, value) in values {
            set_value(table, key.name(), value.clone());
        }
    }
}
