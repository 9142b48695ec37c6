use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[cfg(feature = "zookeeper")]
mod announce;
mod announce_args;
#[cfg(feature = "bookkeeper")]
mod bookkeeper_args;
mod original_args;
mod setting_args;

use super::namespace::Connected;
use super::setting_flags::{self, TableFlags};
use super::{CliError, Output, Shutdown, local, namespace, port};
use announce_args::AnnounceArgs;
#[cfg(feature = "bookkeeper")]
use bookkeeper_args::BookKeeper;
use distributedlog_proxy::{
    AdminPeers, CorsOrigin, HttpToken, Proxy, ProxyError, ServerCertificate, Settings,
    SettingsBuilder, SettingsError,
};
#[cfg(feature = "bookkeeper")]
use distributedlog_store::bookkeeper::BookKeeperSettings;
use distributedlog_store::net::raise_open_files;
use distributedlog_store::uri::Uri;
use original_args::OriginalArgs;
use setting_args::{Faults, Limits, Streams};

/// Run the write proxy.
///
/// Clients write through it, by thriftmux or framed thrift on the same port. It stores records in
/// the namespace of -u, or in the folder of --data. Prints a line `listening on ADDRESS` once it
/// serves. Ctrl-C drains it: it accepts no new connections, syncs what is in flight, and exits.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("store").required(true).args(["uri", "data"])),
    group(clap::ArgGroup::new("http_ports").multiple(true).args(["http_port", "stats_port"])),
    after_help = after_help()
)]
pub(crate) struct Args {
    /// The namespace: distributedlog://HOST:PORT/NAMESPACE
    #[arg(short, long, value_name = "URI")]
    uri: Option<Uri>,

    /// Store the records in this folder, within this process; readers and the tool cannot open it
    /// while the proxy runs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The port for clients; 0 lets the system choose
    #[arg(short, long, value_name = "PORT", value_parser = port::parse, default_value_t = 8000)]
    port: u16,

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

    /// The shard number of this proxy, -1 for none (-si)
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    shard_id: i32,

    /// Accept thriftmux too (-mx). Always on: the proxy detects thriftmux and framed thrift by
    /// itself
    #[arg(long)]
    thriftmux: bool,

    /// The address to listen on. Every client that can reach it can write
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,

    /// The address at which clients reach this proxy, HOST or HOST:PORT; required when it listens
    /// on every address [default: the address it listens on]
    #[arg(long, value_name = "HOST[:PORT]")]
    advertise: Option<String>,

    /// Clients that may delete and truncate streams, release them, stop the proxy from accepting
    /// further ones, and inject faults: `loopback`: those of this machine, and HTTP clients with
    /// the token of --http-token-file; `any`: all; `none`: no client
    #[arg(long, value_name = "PEERS", default_value_t = AdminPeers::Loopback)]
    admin_from: AdminPeers,

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

    /// Let the page at / start its demonstration by itself, which writes 200 records a second to
    /// five streams while it is visible; without this flag it starts by a click
    #[arg(long, requires = "http_port")]
    demo: bool,

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

The original's spellings -sp, -si and -mx work too. Its -c, -sc, -pd and -la have no meaning here
and are refused; {announce}"
    )
}

impl Args {
    /// Serves until shutdown is requested.
    ///
    /// # Errors
    /// The store cannot be reached or opened, an address cannot be listened on, or a flag is
    /// invalid.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        raise_open_files();
        let settings = self.settings()?;
        self.announcement.check(self.uri.as_ref())?;
        let Connected {
            store,
            is_bookkeeper,
        } = self.store().await?;
        let serverset = self
            .announcement
            .serverset(self.uri.as_ref(), is_bookkeeper)?;
        let proxy = Proxy::start(settings, store)
            .await
            .map_err(|error| start_error(&error))?;
        output.announce(format_args!("listening on {}", proxy.local_addr()));
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
        #[cfg(feature = "zookeeper")]
        if let Some(serverset) = &serverset {
            let login = self.announcement.zookeeper_login.as_deref();
            let place = announce::Place {
                serverset,
                login,
                shard_id: self.shard_id,
            };
            announce::announce_until_shutdown(&place, &proxy, output, shutdown).await?;
        }
        #[cfg(not(feature = "zookeeper"))]
        drop(serverset);
        shutdown.requested().await;
        // The proxy logs the result of the drain.
        proxy.drain().await;
        Ok(())
    }

    /// Builds the proxy's settings, before anything is opened.
    fn settings(&self) -> Result<Settings, CliError> {
        self.original.check()?;
        #[cfg(feature = "bookkeeper")]
        {
            self.bookkeeper()?;
            if self.data.is_some() {
                self.refuse_bookkeeper_flags()?;
            }
        }
        let mut builder: SettingsBuilder = Settings::builder()
            .listen(SocketAddr::new(self.bind, self.port))
            .stats_listen(self.stats_port.map(|port| SocketAddr::new(self.bind, port)))
            .http_listen(self.http_port.map(|port| SocketAddr::new(self.bind, port)))
            .thriftmux(true)
            .shard(self.shard_id)
            .announce(self.advertise.clone())
            .admin_from(self.admin_from)
            .demo(self.demo)
            .http_origins(self.cors_origin.clone());
        self.streams.apply(&mut builder)?;
        self.faults.apply(&mut builder)?;
        self.limits.apply(&mut builder)?;
        let builder = match &self.http_token_file {
            Some(file) => builder.http_token(Some(
                HttpToken::from_file(file).map_err(|error| CliError::failure(error.to_string()))?,
            )),
            None => builder,
        };
        let builder = match (&self.tls_certificates, &self.tls_key) {
            (Some(certificates), Some(key)) => {
                let identity =
                    ServerCertificate::from_pem_files(certificates, key).map_err(|error| {
                        let flag = if error.path == *key {
                            "--tls-key"
                        } else {
                            "--tls-certificates"
                        };
                        CliError::failure(format!("{flag} {error}"))
                    })?;
                builder.tls(Some(identity))
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => builder,
        };
        builder.build().map_err(|error| {
            let error = if let SettingsError::OutOfRange(error) = &error {
                setting_flags::refused::<Limits>(error)
            } else {
                CliError::usage(error.to_string())
            };
            if self.bind.is_unspecified() {
                error.tip("add --advertise HOST, the name under which clients reach this machine")
            } else {
                error
            }
        })
    }

    /// Opens the store.
    ///
    /// # Errors
    /// It cannot be reached or opened, or flags of BookKeeper were given for another kind of store.
    async fn store(&self) -> Result<Connected, CliError> {
        let connected = match (&self.uri, &self.data) {
            #[cfg(feature = "bookkeeper")]
            (Some(uri), _) => namespace::connect_with(uri, self.bookkeeper()?).await?,
            #[cfg(not(feature = "bookkeeper"))]
            (Some(uri), _) => namespace::connect_with(uri).await?,
            (None, Some(folder)) => Connected {
                store: local::open(folder).await?,
                is_bookkeeper: false,
            },
            (None, None) => unreachable!("clap requires one of them"),
        };
        #[cfg(feature = "bookkeeper")]
        if !connected.is_bookkeeper {
            self.refuse_bookkeeper_flags()?;
        }
        Ok(connected)
    }

    /// Builds the settings of BookKeeper.
    #[cfg(feature = "bookkeeper")]
    fn bookkeeper(&self) -> Result<BookKeeperSettings, CliError> {
        let mut settings = BookKeeperSettings::default();
        self.bookkeeper.apply(&mut settings)?;
        settings
            .check()
            .map_err(|error| setting_flags::refused::<BookKeeper>(&error))?;
        Ok(settings)
    }

    /// Refuses flags that have no effect on a store that is not on BookKeeper.
    #[cfg(feature = "bookkeeper")]
    fn refuse_bookkeeper_flags(&self) -> Result<(), CliError> {
        let Some(flag) = self.bookkeeper.first_given() else {
            return Ok(());
        };
        let place = match (&self.uri, &self.data) {
            (Some(uri), _) => format!("{uri} is a store of `dlog local`"),
            (None, _) => "--data is a folder".to_owned(),
        };
        Err(CliError::usage(format!(
            "--{flag} is a setting of namespaces on BookKeeper; {place}"
        ))
        .tip(format!(
            "leave out --{flag}, or name a namespace on BookKeeper with -u"
        )))
    }
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
