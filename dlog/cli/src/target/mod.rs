//! Where a command finds the streams: flags, environment, contexts, and connections to what they
//! name.

mod args;
mod command;
#[cfg(feature = "bookkeeper")]
mod namespace_arg;
mod positional;
mod security;
mod uri_arg;

use std::sync::Arc;

use distributedlog_reader::Source;
use distributedlog_store::uri::{Backend, DEFAULT_PORT, Uri, ZOOKEEPER_PORT};
use distributedlog_store::{LogStore, StreamName};
use distributedlog_tokio::{ProxyClient, ProxyClientBuilder};

pub(crate) use args::{Given, Level, TargetArgs};
pub(crate) use command::Args as ContextArgs;
#[cfg(feature = "bookkeeper")]
pub(crate) use namespace_arg::NamespaceArg;
pub(crate) use positional::PlaceAndStreams;
pub(crate) use security::ClientSecurity;
pub(crate) use uri_arg::UriArg;

use super::config::{self, ConfigFile, Context};
use super::http::{HttpClient, HttpStore};
use super::namespace::StoreSecurityArgs;
use super::place::Place;
use super::streams::StreamList;
use super::{CliError, namespace};
use security::SecurityFiles;

/// Environment variables that name a place; the first that is set holds.
const VARIABLES: [&str; 2] = ["DLOG_TO", "DLOG_URI"];

/// A place with streams, its ports, and what a client shows there.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The place that was named.
    pub(crate) place: Place,
    /// Namespace, if it is known.
    pub(crate) namespace: Option<Uri>,
    /// Write proxies, as a Finagle name, if they are known.
    pub(crate) proxies: Option<String>,
    /// URL of the HTTP port, if it is known.
    pub(crate) http: Option<String>,
    /// Another port of the context from which streams are read: HTTP, or else the namespace.
    records: Option<Place>,
    /// Streams of the context.
    pub(crate) streams: Option<Vec<StreamName>>,
    /// Token and TLS.
    pub(crate) security: ClientSecurity,
    /// Secret and TLS of the store of a namespace.
    pub(crate) store_security: StoreSecurityArgs,
    /// Name of the context that the place is from.
    pub(crate) context: Option<String>,
    /// Flag, environment variable or line of the configuration file that named the place.
    pub(crate) source: String,
}

impl TargetArgs {
    /// Finds the place: flag, environment, table of the command in the configuration file, context.
    /// What a context says besides its place, as its token, holds only with its place, or where the
    /// context is named in the same way as the place.
    ///
    /// # Errors
    /// No place is named, the context does not exist, or a file cannot be read.
    #[allow(
        dead_code,
        reason = "for commands without a place among their arguments"
    )]
    pub(crate) fn resolve(&self) -> Result<Target, CliError> {
        self.resolve_at(None)
    }

    /// Does the same with a place that an argument names, which goes before all others.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); also if `--to` names a place too.
    pub(crate) fn resolve_at(&self, argument: Option<&Place>) -> Result<Target, CliError> {
        self.resolve_beside(argument.map(|place| Given {
            value: place.clone(),
            level: Level::CommandLine,
            source: "the command line".to_owned(),
        }))
    }

    /// Does the same with a place that another flag names.
    fn resolve_beside(&self, flag: Option<Given<Place>>) -> Result<Target, CliError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        self.resolve_in(config::loaded(), flag, &variable)
    }

    /// Does the same with this file and this environment.
    pub(crate) fn resolve_in(
        &self,
        file: &ConfigFile,
        argument: Option<Given<Place>>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Target, CliError> {
        let place = self.place(argument, variable)?;
        let context = self.context(file);
        let level = context.as_ref().map(|context| context.level);
        match (place, context) {
            (None, None) => Err(no_place()),
            (Some(place), context) if level.is_none_or(|level| level <= place.level) => {
                // The current context's token is for its own place.
                let beside = context.filter(|context| context.level == place.level);
                let beside = beside.map(|it| file.context(&it.value)).transpose()?;
                self.target(place.value, place.source, beside, None)
            }
            (_, Some(context)) => {
                let name = context.value;
                let context = file.context(&name)?;
                let place = context.to.clone().ok_or_else(no_place)?;
                let source = file.at(context
                    .lines
                    .get(&config::ContextKey::To)
                    .map_or(context.line, |line| *line));
                self.target(place, source, Some(context), Some(name))
            }
            (Some(_), None) => unreachable!("without a context every place holds"),
        }
    }

    fn place(
        &self,
        argument: Option<Given<Place>>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Given<Place>>, CliError> {
        let flag = self.to.clone();
        if let (Some(argument), Some(flag)) = (&argument, &flag)
            && (argument.level, flag.level) == (Level::CommandLine, Level::CommandLine)
        {
            let (one, other) = (&argument.value, &flag.value);
            return Err(
                CliError::usage(format!("two places are named: {one}, and --to {other}"))
                    .tip("name one of them"),
            );
        }
        let mut variables = VARIABLES.into_iter();
        let environment = variables.find_map(|name| Some((name, variable(name)?)));
        let environment = environment.map(|(name, text)| {
            let value = text
                .parse()
                .map_err(|error| CliError::usage(format!("{name} is \"{text}\": {error}")))?;
            Ok::<_, CliError>(Given {
                value,
                level: Level::Environment,
                source: name.to_owned(),
            })
        });
        let stronger = [argument, flag].into_iter().flatten();
        let stronger = stronger.max_by_key(|given| given.level);
        match (stronger, environment) {
            (Some(given), _) if given.level >= Level::Environment => Ok(Some(given)),
            (_, Some(environment)) => environment.map(Some),
            (given, None) => Ok(given),
        }
    }

    /// Returns the name of the context, if there is one.
    fn context(&self, file: &ConfigFile) -> Option<Given<String>> {
        self.context.clone().or_else(|| {
            let (name, line) = file.current.clone()?;
            Some(Given {
                value: name,
                level: Level::Current,
                source: file.at(line),
            })
        })
    }

    fn target(
        &self,
        place: Place,
        source: String,
        context: Option<&Context>,
        name: Option<String>,
    ) -> Result<Target, CliError> {
        let security = self.files(context).read()?;
        // Other ports of a context are those of its own place.
        let faces = context.filter(|_| name.is_some());
        let mut target = Target {
            place,
            namespace: None,
            proxies: None,
            http: None,
            records: faces.and_then(|it| it.http.clone().or_else(|| it.namespace.clone())),
            streams: faces.and_then(|it| it.streams.clone()),
            security,
            store_security: self.store.clone(),
            context: name,
            source,
        };
        let further = faces.map(|it| [&it.namespace, &it.proxies, &it.http]);
        let further = further.into_iter().flatten().flatten().cloned();
        for place in further.chain([target.place.clone()]) {
            match place {
                Place::Namespace(uri) => target.namespace = Some(uri),
                Place::Proxies(name) => target.proxies = Some(name),
                Place::Http(url) => target.http = Some(url),
            }
        }
        Ok(target)
    }

    /// Flags go before the context.
    fn files(&self, context: Option<&Context>) -> SecurityFiles {
        let mut files = context.map(security_of).unwrap_or_default();
        let replace = |file: &mut Option<_>, flag: &Option<std::path::PathBuf>| {
            if flag.is_some() {
                file.clone_from(flag);
            }
        };
        replace(&mut files.token, &self.token_file);
        replace(&mut files.ca, &self.tls_ca);
        replace(&mut files.certificate, &self.tls_certificate);
        replace(&mut files.key, &self.tls_key);
        files.name = self.tls_name.clone().or(files.name);
        files.tls |= self.tls;
        files
    }
}

fn security_of(context: &Context) -> SecurityFiles {
    SecurityFiles {
        token: context.token_file.clone(),
        tls: context.tls,
        ca: context.tls_ca.clone(),
        certificate: context.tls_certificate.clone(),
        key: context.tls_key.clone(),
        name: context.tls_name.clone(),
    }
}

/// Checks the files that a context names.
///
/// # Errors
/// One of them cannot be read, or holds something else.
pub(crate) fn check(context: &Context) -> Result<(), CliError> {
    security_of(context).read().map(drop)
}

/// The error about a command line that names no place.
fn no_place() -> CliError {
    CliError::usage("the command does not say where the streams are").tip(format!(
        "name the place with --to WHERE, with DLOG_TO in the environment, or once with: dlog \
         context add NAME --to WHERE\nwith `dlog local` on this machine it is {}, with `dlog \
         proxy` 'inet!127.0.0.1:8000'",
        Uri::local("127.0.0.1", DEFAULT_PORT)
    ))
}

impl Target {
    /// Returns the target of these write proxies, without a token and TLS.
    pub(crate) fn of_proxies(name: String) -> Self {
        Self {
            place: Place::Proxies(name.clone()),
            namespace: None,
            proxies: Some(name),
            http: None,
            records: None,
            streams: None,
            security: ClientSecurity::default(),
            store_security: StoreSecurityArgs::of_environment(),
            context: None,
            source: "this command".to_owned(),
        }
    }

    /// Returns the name of the write proxies.
    ///
    /// # Errors
    /// They are not known.
    pub(crate) fn proxies(&self) -> Result<String, CliError> {
        if let Some(name) = &self.proxies {
            return Ok(name.clone());
        }
        if let Some(uri) = self.namespace.as_ref().filter(|uri| has_zookeeper(uri)) {
            return Ok(serverset_of(uri));
        }
        let error = CliError::usage(format!(
            "{} is {}, which names no write proxies to write to",
            self.place,
            self.place.kind_text()
        ));
        Err(match &self.context {
            Some(name) => error.tip(format!(
                "add proxies = \"inet!HOST:PORT\" to the context {name}, or name them with --to"
            )),
            None => error.tip("name the proxies with --to 'inet!HOST:PORT' (with the quotes)"),
        })
    }

    /// Returns the settings of a client of the write proxies, with their name and TLS.
    ///
    /// # Errors
    /// The proxies are not known.
    pub(crate) fn client(&self, client_id: &str) -> Result<ProxyClientBuilder, CliError> {
        let name = self.proxies()?;
        #[cfg(not(feature = "zookeeper"))]
        super::features::check_proxies_name(&name)?;
        let client = ProxyClient::builder().proxies(name).client_id(client_id);
        Ok(match self.security.tls() {
            Some(tls) => client.tls(tls.clone()),
            None => client,
        })
    }

    /// Returns a store that lists, describes and reads the streams.
    ///
    /// # Errors
    /// The place has none, or it cannot be reached.
    pub(crate) async fn store(&self) -> Result<Arc<dyn LogStore>, CliError> {
        match self.records_at() {
            Place::Namespace(uri) => namespace::connect_secured(uri, &self.store_security).await,
            Place::Http(url) => {
                let client = HttpClient::of(url, &self.security)?;
                Ok(Arc::new(HttpStore::new(client)))
            }
            Place::Proxies(_) => Err(self.no_records()),
        }
    }

    /// Returns the place from which streams are listed and read: the one that was named, or else
    /// the HTTP port or the namespace of its context.
    pub(crate) fn records_at(&self) -> &Place {
        if matches!(self.place, Place::Proxies(_)) {
            self.records.as_ref().unwrap_or(&self.place)
        } else {
            &self.place
        }
    }

    /// Returns all places that are known: the one that was named first.
    pub(crate) fn ports(&self) -> Vec<Place> {
        let further = [
            self.namespace.clone().map(Place::Namespace),
            self.proxies.clone().map(Place::Proxies),
            self.http.clone().map(Place::Http),
        ];
        let kind = self.place.kind();
        let further = further.into_iter().flatten();
        let further = further.filter(|place| place.kind() != kind);
        core::iter::once(self.place.clone())
            .chain(further)
            .collect()
    }

    /// Returns the namespace, if streams are read from it.
    #[cfg(feature = "bookkeeper")]
    pub(crate) fn records_namespace(&self) -> Option<&Uri> {
        match self.records_at() {
            Place::Namespace(uri) => Some(uri),
            Place::Proxies(_) | Place::Http(_) => None,
        }
    }

    /// Returns a source for readers.
    ///
    /// # Errors
    /// The place has none, or it cannot be reached.
    #[allow(dead_code, reason = "for commands that read with the library's reader")]
    pub(crate) async fn log_source(&self) -> Result<Source, CliError> {
        match self.records_at() {
            Place::Namespace(uri) => Ok(namespace::connect_secured(uri, &self.store_security)
                .await?
                .into()),
            Place::Http(url) => Ok(self.security.http_source(url).into()),
            Place::Proxies(_) => Err(self.no_records()),
        }
    }

    /// Returns the streams that an argument names, or else those of the context.
    ///
    /// # Errors
    /// Neither names any.
    pub(crate) fn streams(
        &self,
        argument: Option<&StreamList>,
    ) -> Result<Vec<StreamName>, CliError> {
        if let Some(list) = argument {
            return Ok(list.names().to_vec());
        }
        self.streams.clone().ok_or_else(|| {
            CliError::usage("the command names no stream").tip(
                "name streams as in basic-stream-3,basic-stream-4; a context can have streams = \
                 [\"NAME\", …]",
            )
        })
    }

    /// The error about a port from which no records are read.
    fn no_records(&self) -> CliError {
        let error = CliError::usage(format!(
            "{} is {}, from which no streams are listed or read",
            self.place,
            self.place.kind_text()
        ));
        let tip = "name the HTTP port of a proxy, as in --to http://127.0.0.1:8002, or a \
                   namespace, as in --to distributedlog://127.0.0.1:7000/messaging/distributedlog";
        match &self.context {
            Some(name) => error.tip(format!(
                "{tip}; or add http = \"URL\" to the context {name}"
            )),
            None => error.tip(tip),
        }
    }
}

/// Returns true if the proxies of a namespace announce themselves below it in ZooKeeper.
fn has_zookeeper(uri: &Uri) -> bool {
    let port = uri.hosts().first().map(|host| host.port);
    uri.backend() == Backend::BookKeeper || port == Some(ZOOKEEPER_PORT)
}

/// Returns the serverset in which the original announces the proxies of a namespace.
pub(crate) fn serverset_of(uri: &Uri) -> String {
    let hosts: Vec<String> = uri.hosts().iter().map(ToString::to_string).collect();
    format!("zk!{}!{}/.write_proxy", hosts.join(","), uri.namespace())
}

#[cfg(test)]
mod tests;
