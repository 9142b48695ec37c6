use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[cfg(feature = "zookeeper")]
mod announce;
mod announce_args;
#[cfg(feature = "bookkeeper")]
mod bookkeeper_args;
mod config_args;
mod effective;
mod original_args;
mod properties;
mod reload;
mod security_args;
mod setting_args;

use super::config::Shown;
use super::namespace::{Connected, StoreSecurityArgs};
use super::setting_flags::TableFlags;
use super::{CliError, Output, Shutdown, local, namespace, port, service_manager};
use announce_args::AnnounceArgs;
#[cfg(feature = "bookkeeper")]
use bookkeeper_args::BookKeeper;
use config_args::ConfigArgs;
use distributedlog_proxy::{
    AdminPeers, CorsOrigin, Proxy, ProxyError, Settings, SettingsBuilder, SettingsError,
};
use distributedlog_store::descriptors::CLIENT_DESCRIPTORS;
use distributedlog_store::embedded::EmbeddedSettings;
use distributedlog_store::uri::{DEFAULT_PORT, Uri};
use effective::Effective;
use original_args::OriginalArgs;
use properties::Configuration;
use reload::HeldFiles;
use security_args::SecurityArgs;
use setting_args::{Faults, Limits, Streams};

/// Run the write proxy.
///
/// Clients write through it, by thriftmux or framed thrift on the same port. It stores records in
/// the namespace of -u, or in the folder of --data. Prints a line `listening on ADDRESS` once it
/// serves. Ctrl-C drains it: it accepts no new connections, syncs what is in flight, and exits.
/// It reads files of certificates, tokens and rules again when they change, and on SIGHUP; without
/// such files SIGHUP drains the proxy.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("http_ports").multiple(true).args(["http_port", "stats_port"])),
    override_usage = "dlog proxy [OPTIONS] <--uri <URI>|--data <DIR>>",
    after_help = after_help()
)]
pub(crate) struct Args {
    /// The namespace: distributedlog://HOST:PORT/NAMESPACE [env: DLOG_URI]
    #[arg(short, long, value_name = "URI", conflicts_with = "data")]
    uri: Option<Uri>,

    /// Store the records in this folder, within this process; readers and the tool cannot open it
    /// while the proxy runs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigArgs,

    /// The port for clients; 0 lets the system choose [default: 8000]
    #[arg(short, long, value_name = "PORT", value_parser = port::parse)]
    port: Option<u16>,

    /// The port for metrics and health over HTTP (-sp) [default: none]
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    stats_port: Option<u16>,

    /// The port for HTTP clients, which write, read, and administer streams; it serves metrics and
    /// health too [default: none]
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    http_port: Option<u16>,

    /// Allow pages of this origin, such as https://example.org, to use the HTTP port and the stats
    /// port from a browser; repeat it for several origins
    #[arg(long, value_name = "ORIGIN", requires = "http_ports")]
    cors_origin: Vec<CorsOrigin>,

    /// Require the token in this file from clients of the HTTP port and of the stats port, as
    /// `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE", requires = "http_ports")]
    http_token_file: Option<PathBuf>,

    /// The shard number of this proxy, -1 for none (-si) [default: -1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shard_id: Option<i32>,

    /// Accept thriftmux too (-mx). Always on: the proxy detects thriftmux and framed thrift by
    /// itself
    #[arg(long)]
    thriftmux: bool,

    /// The address to listen on. Every client that can reach it can write [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,

    /// The address at which clients reach this proxy, HOST or HOST:PORT; required when it listens
    /// on every address [default: the address it listens on]
    #[arg(long, value_name = "HOST[:PORT]")]
    advertise: Option<String>,

    /// The name of what its streams share that may make them stall, as a disk does; writers hedge
    /// to a proxy with another name first. Proxies with the same name share it; proxies on
    /// BookKeeper say none unless they are given one [default: the identity of the store]
    #[arg(long, value_name = "NAME")]
    failure_domain: Option<String>,

    /// Clients that may delete and truncate streams, release them, stop the proxy from accepting
    /// further ones, and inject faults: `loopback`: those of this machine, and HTTP clients with
    /// the token of --http-token-file; `any`: all; `none`: no client [default: loopback]
    #[arg(long, value_name = "PEERS")]
    admin_from: Option<AdminPeers>,

    #[command(flatten)]
    streams: TableFlags<Streams>,

    /// Serve TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificates: Option<PathBuf>,

    /// The private key of --tls-certificates (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificates")]
    tls_key: Option<PathBuf>,

    #[command(flatten)]
    faults: TableFlags<Faults>,

    /// Let the page at /demo start its demonstration by itself, which writes 200 records a second
    /// to five streams while it is visible; without this flag it starts by a click
    #[arg(long, requires = "http_port")]
    demo: bool,

    #[command(flatten)]
    security: SecurityArgs,

    #[command(flatten)]
    store_security: StoreSecurityArgs,

    #[command(flatten)]
    announcement: AnnounceArgs,

    #[command(flatten)]
    original: OriginalArgs,

    #[command(flatten)]
    limits: TableFlags<Limits>,

    #[cfg(feature = "bookkeeper")]
    #[command(flatten)]
    bookkeeper: TableFlags<BookKeeper>,
}

/// Environment variable with the namespace's URI, as for the tool.
const URI_VARIABLE: &str = "DLOG_URI";

/// Namespace or folder of the proxy.
#[derive(Clone, Debug)]
enum Place {
    /// A namespace, and where its URI comes from.
    Namespace(Uri, &'static str),
    /// A folder.
    Folder(PathBuf),
}

/// Returns the examples, and what the original's flags do here.
fn after_help() -> String {
    let (example, announce) = if cfg!(feature = "zookeeper") {
        (
            "\n  dlog proxy --bind 0.0.0.0 --advertise proxy-1.example.org -u $URI \
             -a 'zk!zk-1!/proxies'",
            "its -a without a value announces the proxy below\n-u, if that is on BookKeeper.",
        )
    } else {
        (
            "",
            "its -a needs the feature `zookeeper`,\nwhich this dlog was built without.",
        )
    };
    format!(
        "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog proxy -p 8000 --shard-id 1 -sp 8001 -u $URI -mx
  dlog proxy --data /var/lib/dlog
  dlog proxy --data /var/lib/dlog --http-port 8002 --cors-origin https://example.org
  dlog proxy --bind 0.0.0.0 --advertise proxy-1.example.org -u $URI{example}
  dlog proxy -c write_proxy.conf -u $URI --print-config

The original's spellings -sp, -si and -mx work too. Its -sc, -pd and -la have no meaning here and
are refused; {announce}"
    )
}

impl Args {
    /// Serves until shutdown is requested.
    ///
    /// # Errors
    /// The store cannot be reached or opened, an address cannot be listened on, or a flag is
    /// invalid.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        let mut effective = self.effective()?;
        if self.config.print_config {
            self.settings(&effective, &self.read_files()?)?;
            effective.log();
            return effective.print(self.shown()?, self.config.format, output);
        }
        let place = self.place()?.ok_or_else(no_place)?;
        effective.reserve_descriptors(place.descriptors())?;
        let mut files = self.read_files()?;
        self.security.open_audit_log(&mut files)?;
        let hangups = files.files.hangups(shutdown);
        let settings = self.settings(&effective, &files)?;
        let uri = place.uri();
        self.announcement.check(uri)?;
        let Connected {
            store,
            is_bookkeeper,
        } = self.store(&place, &effective).await?;
        effective.log();
        let serverset = self.announcement.serverset(uri, is_bookkeeper)?;
        let proxy = Proxy::start(settings, store)
            .await
            .map_err(|error| start_error(&error))?;
        output.announce(format_args!("listening on {}", proxy.local_addr()));
        self.security.warn_if_open(proxy.local_addr());
        if let Some(stats) = proxy.stats_addr() {
            output.announce(format_args!("metrics and health on http://{stats}"));
        }
        if let Some(http) = proxy.http_addr() {
            let scheme = if self.tls_key.is_some() {
                "https"
            } else {
                "http"
            };
            output.announce(format_args!("HTTP on {scheme}://{http}"));
        }
        service_manager::ready(&format!("listening on {}", proxy.local_addr()));
        let serving = async {
            #[cfg(feature = "zookeeper")]
            if let Some(serverset) = &serverset {
                let login = self.announcement.zookeeper_login.as_deref();
                let place = announce::Place {
                    serverset,
                    login,
                    shard_id: effective.shard,
                };
                announce::announce_until_shutdown(&place, &proxy, output, shutdown).await?;
            }
            #[cfg(not(feature = "zookeeper"))]
            drop(serverset);
            shutdown.requested().await;
            Ok(())
        };
        tokio::select! {
            served = serving => served?,
            never = files.files.reload_at(hangups, |what, used| proxy.count_reload(what, used)) => {
                match never {}
            }
        }
        // The proxy logs the result of the drain.
        proxy.drain().await;
        if let Some(log) = files.audit_log {
            // It blocks while the last lines are written.
            let _ = tokio::task::spawn_blocking(move || log.flush()).await;
        }
        Ok(())
    }

    /// Returns what the file and the flags set, before anything is opened.
    fn effective(&self) -> Result<Effective, CliError> {
        self.original.check()?;
        self.effective_with(self.config.read()?)
    }

    fn effective_with(&self, file: Option<Configuration>) -> Result<Effective, CliError> {
        let mut effective = Effective::new();
        if let Some(file) = file {
            effective.file(file)?;
        }
        effective.flag_port(self.port);
        effective.flag_shard(self.shard_id);
        effective.flags(&self.streams)?;
        effective.flags(&self.faults)?;
        effective.flags(&self.limits)?;
        #[cfg(feature = "bookkeeper")]
        {
            effective.bookkeeper_flags(&self.bookkeeper)?;
            if let Some(folder) = &self.data {
                self.refuse_bookkeeper_flags(&Place::Folder(folder.clone()))?;
            }
        }
        Ok(effective)
    }

    /// Builds the proxy's settings.
    fn settings(&self, effective: &Effective, files: &HeldFiles) -> Result<Settings, CliError> {
        let bind = self.bind();
        let builder: SettingsBuilder = effective
            .proxy
            .clone()
            .listen(SocketAddr::new(bind, effective.port))
            .stats_listen(self.stats_port.map(|port| SocketAddr::new(bind, port)))
            .http_listen(self.http_port.map(|port| SocketAddr::new(bind, port)))
            .thriftmux(true)
            .shard(effective.shard)
            .announce(self.advertise.clone())
            .failure_domain(self.failure_domain.clone())
            .admin_from(self.admin_from.unwrap_or_default())
            .demo(self.demo)
            .http_origins(self.cors_origin.clone());
        let builder = builder
            .http_token(files.token.clone())
            .http_tokens(files.tokens.clone())
            .authorization(files.authorization.clone())
            .audit_log(files.audit_log.clone())
            .tls(files.certificate.clone());
        builder.build().map_err(|error| {
            let error = if let SettingsError::OutOfRange(error) = &error {
                effective.refused(error)
            } else {
                CliError::usage(error.to_string())
            };
            if bind.is_unspecified() {
                error.tip("add --advertise HOST, the name under which clients reach this machine")
            } else {
                error
            }
        })
    }

    fn bind(&self) -> IpAddr {
        self.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Returns the namespace or the folder, if a flag or the environment names one.
    ///
    /// # Errors
    /// The environment's URI is invalid.
    fn place(&self) -> Result<Option<Place>, CliError> {
        if let Some(folder) = &self.data {
            return Ok(Some(Place::Folder(folder.clone())));
        }
        if let Some(uri) = &self.uri {
            return Ok(Some(Place::Namespace(uri.clone(), "--uri")));
        }
        match std::env::var(URI_VARIABLE) {
            Ok(text) if !text.is_empty() => {
                let uri = text.parse();
                let uri = uri.map_err(|error| {
                    CliError::usage(format!("{URI_VARIABLE} is {text:?}: {error}"))
                })?;
                Ok(Some(Place::Namespace(uri, URI_VARIABLE)))
            }
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Returns the settings whose values are addresses, files, lists and words.
    fn shown(&self) -> Result<Vec<Shown>, CliError> {
        fn text(value: Option<impl ToString>) -> Option<String> {
            value.map(|it| it.to_string())
        }
        fn path(value: Option<&PathBuf>) -> Option<String> {
            value.map(|it| it.display().to_string())
        }
        let place = match self.place()? {
            Some(Place::Namespace(uri, from)) => {
                Shown::of("namespace", Some(uri.to_string()), from, "none")
            }
            Some(Place::Folder(folder)) => Shown::of("folder", path(Some(&folder)), "--data", ""),
            None => Shown::of("namespace", None, "", "none"),
        };
        let origins: Vec<String> = self.cors_origin.iter().map(ToString::to_string).collect();
        let origins = Some(origins.join(",")).filter(|it| !it.is_empty());
        let admin_from = AdminPeers::default().to_string();
        let demo = self.demo.then(|| "on".to_owned());
        let mut shown = vec![
            place,
            Shown::of("bind", text(self.bind), "--bind", &self.bind().to_string()),
            Shown::of("stats_port", text(self.stats_port), "--stats-port", "none"),
            Shown::of("http_port", text(self.http_port), "--http-port", "none"),
            Shown::of("cors_origin", origins, "--cors-origin", "none"),
            Shown::of(
                "http_token_file",
                path(self.http_token_file.as_ref()),
                "--http-token-file",
                "none",
            ),
            Shown::of("advertise", self.advertise.clone(), "--advertise", "none"),
            Shown::of(
                "failure_domain",
                self.failure_domain.clone(),
                "--failure-domain",
                "the store's identity",
            ),
            Shown::of(
                "admin_from",
                text(self.admin_from),
                "--admin-from",
                &admin_from,
            ),
            Shown::of(
                "tls_certificates",
                path(self.tls_certificates.as_ref()),
                "--tls-certificates",
                "none",
            ),
            Shown::of("tls_key", path(self.tls_key.as_ref()), "--tls-key", "none"),
            Shown::of(
                "announce",
                self.announcement.announce.clone(),
                "--announce",
                "none",
            ),
            Shown::of(
                "zookeeper_login",
                path(self.announcement.zookeeper_login.as_ref()),
                "--zookeeper-login",
                "none",
            ),
            Shown::of("demo", demo, "--demo", "off"),
        ];
        shown.extend(self.security.shown());
        shown.extend(self.store_security.shown());
        Ok(shown)
    }

    /// Opens the store.
    ///
    /// # Errors
    /// It cannot be reached or opened, or flags of BookKeeper were given for another kind of store.
    async fn store(&self, place: &Place, effective: &Effective) -> Result<Connected, CliError> {
        let connected = match place {
            #[cfg(feature = "bookkeeper")]
            Place::Namespace(uri, _) => {
                let settings = effective.bookkeeper.clone();
                namespace::connect_with(uri, &self.store_security, settings).await?
            }
            #[cfg(not(feature = "bookkeeper"))]
            Place::Namespace(uri, _) => namespace::connect_with(uri, &self.store_security).await?,
            Place::Folder(folder) => Connected {
                store: local::open(folder).await?,
                is_bookkeeper: false,
            },
        };
        if !connected.is_bookkeeper {
            #[cfg(feature = "bookkeeper")]
            self.refuse_bookkeeper_flags(place)?;
            effective.warn_without_bookkeeper(&place.description());
        }
        Ok(connected)
    }

    /// Refuses flags that have no effect on a store that is not on BookKeeper.
    #[cfg(feature = "bookkeeper")]
    fn refuse_bookkeeper_flags(&self, place: &Place) -> Result<(), CliError> {
        let Some(flag) = self.bookkeeper.first_given() else {
            return Ok(());
        };
        Err(CliError::usage(format!(
            "--{flag} is a setting of namespaces on BookKeeper; {}",
            place.description()
        ))
        .tip(format!(
            "leave out --{flag}, or name a namespace on BookKeeper with -u"
        )))
    }
}

impl Place {
    /// Returns the number of file descriptors that its store needs.
    fn descriptors(&self) -> usize {
        match self {
            Self::Namespace(..) => CLIENT_DESCRIPTORS,
            Self::Folder(folder) => EmbeddedSettings::new(folder).descriptors(),
        }
    }

    fn uri(&self) -> Option<&Uri> {
        match self {
            Self::Namespace(uri, _) => Some(uri),
            Self::Folder(_) => None,
        }
    }

    /// Describes a store that is not on BookKeeper.
    fn description(&self) -> String {
        match self {
            Self::Namespace(uri, _) => format!("{uri} is a store of `dlog local`"),
            Self::Folder(_) => "--data is a folder".to_owned(),
        }
    }
}

/// The error about flags that name no store.
fn no_place() -> CliError {
    CliError::usage(format!(
        "the store is missing: --uri <URI>, {URI_VARIABLE} in the environment, or --data <DIR>"
    ))
    .tip(format!(
        "with `dlog local` on this machine it is: -u {}",
        Uri::local("127.0.0.1", DEFAULT_PORT)
    ))
}

/// Describes why a proxy does not start, with what to do about it.
pub(crate) fn start_error(error: &ProxyError) -> CliError {
    let cli_error = CliError::failure(error.to_string());
    if let ProxyError::AddressInUse { purpose, .. } = error {
        let flag = match *purpose {
            "clients" => "-p",
            "HTTP" => "--http-port",
            _ => "-sp",
        };
        return cli_error.tip(format!("choose another port with: {flag} PORT"));
    }
    cli_error
}
