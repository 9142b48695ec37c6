use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "zookeeper")]
mod announce;
mod announce_args;
mod original_args;

use super::{Fault, Output, Shutdown, local, namespace, port};
use announce_args::AnnounceArgs;
use distributedlog_proxy::{
    CorsOrigin, HttpToken, Proxy, ProxyError, ServerCertificate, Settings, SettingsBuilder,
};
use distributedlog_store::LogStore;
use distributedlog_store::net::raise_open_files;
use distributedlog_store::uri::Uri;
use original_args::OriginalArgs;

/// Run the write proxy.
///
/// Clients write through it, by thriftmux or framed thrift on the same port. It stores records in
/// the namespace behind -u, or in a folder of its own with --data. Prints a line `listening on
/// ADDRESS` once it serves. Ctrl-C drains it: no new connections, what is in flight is finished and
/// on disk, then it ends.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("store").required(true).args(["uri", "data"])),
    after_help = after_help()
)]
pub(crate) struct Args {
    /// Where the namespace is served: distributedlog://HOST:PORT/NAMESPACE
    #[arg(short, long, value_name = "URI")]
    uri: Option<Uri>,

    /// Keep the records in this folder, within this process; readers and the tool cannot get at
    /// them while it runs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The port for clients; 0 lets the system choose
    #[arg(short, long, value_name = "PORT", value_parser = port::parse, default_value_t = 8000)]
    port: u16,

    /// The port for metrics and health over HTTP (-sp) [default: none]
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    stats_port: Option<u16>,

    /// The port for clients that speak HTTP: they write, read, and administer streams; metrics and
    /// health are there too [default: none]
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    http_port: Option<u16>,

    /// Let pages of this origin use the HTTP port from a browser, such as https://example.org; more
    /// than once for several
    #[arg(long, value_name = "ORIGIN", requires = "http_port")]
    cors_origin: Vec<CorsOrigin>,

    /// Demand the token in this file of HTTP clients, as `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE", requires = "http_port")]
    http_token_file: Option<PathBuf>,

    /// The number of this proxy among others, -1 for none (-si)
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    shard_id: i32,

    /// Speak thriftmux too (-mx). Always so: the proxy tells thriftmux and framed thrift apart by
    /// itself
    #[arg(long)]
    thriftmux: bool,

    /// The address to listen on. Whoever can reach it can write
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,

    /// Where clients reach this proxy, HOST or HOST:PORT; needed when it listens on every address
    /// [default: where it listens]
    #[arg(long, value_name = "HOST[:PORT]")]
    advertise: Option<String>,

    /// Refuse everything that would change a stream
    #[arg(long)]
    read_only: bool,

    /// Refuse writes to streams that do not exist, rather than create them
    #[arg(long)]
    no_create: bool,

    /// How many record sets are remembered, so that a copy which is sent to the same stream again
    /// is answered and not stored; 0: none
    #[arg(long, value_name = "N", default_value_t = 262_144)]
    remembered_sets: usize,

    /// Encrypt with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificates: Option<PathBuf>,

    /// The private key of --tls-certificates (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificates")]
    tls_key: Option<PathBuf>,

    /// Let streams be stalled and failed on purpose, over the stats port and the HTTP port. For
    /// demonstrations and tests: whoever reaches them can
    #[arg(long, alias = "test-only-faults")]
    faults: bool,

    #[command(flatten)]
    announcement: AnnounceArgs,

    #[command(flatten)]
    original: OriginalArgs,
}

/// Returns the examples, and what the original's flags do here.
fn after_help() -> String {
    let (example, announce) = if cfg!(feature = "zookeeper") {
        (
            "\n  dlog proxy --bind 0.0.0.0 --advertise proxy-1.example.org -u $URI \
             -a 'zk!zk-1!/proxies'",
            "its -a needs a value here, because -u leads to no ZooKeeper.",
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

The original's spellings -sp, -si and -mx work too. Its -c, -sc, -pd and -la mean nothing here and
are refused by name; {announce}"
    )
}

impl Args {
    /// Serves until the end is asked for.
    ///
    /// # Errors
    /// The store cannot be reached or opened, an address cannot be listened on, or a flag means
    /// nothing here.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), Fault> {
        raise_open_files();
        let settings = self.settings()?;
        self.announcement.check()?;
        let store = self.store().await?;
        let proxy = Proxy::start(settings, store)
            .await
            .map_err(|error| start_fault(&error))?;
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
        announce::announce_until_shutdown(
            &self.announcement,
            self.shard_id,
            &proxy,
            output,
            shutdown,
        )
        .await?;
        shutdown.asked().await;
        // It says itself how that went.
        proxy.drain().await;
        Ok(())
    }

    /// The proxy's settings, before anything is opened.
    fn settings(&self) -> Result<Settings, Fault> {
        self.original.check()?;
        let builder: SettingsBuilder = Settings::builder()
            .listen(SocketAddr::new(self.bind, self.port))
            .stats_listen(self.stats_port.map(|port| SocketAddr::new(self.bind, port)))
            .http_listen(self.http_port.map(|port| SocketAddr::new(self.bind, port)))
            .thriftmux(true)
            .shard(self.shard_id)
            .announce(self.advertise.clone())
            .create_missing_streams(!self.no_create)
            .read_only(self.read_only)
            .remembered_sets(self.remembered_sets)
            .faults(self.faults)
            .http_origins(self.cors_origin.clone());
        let builder = match &self.http_token_file {
            Some(file) => builder.http_token(Some(
                HttpToken::from_file(file).map_err(|error| Fault::failure(error.to_string()))?,
            )),
            None => builder,
        };
        let builder = match (&self.tls_certificates, &self.tls_key) {
            (Some(certificates), Some(key)) => {
                let identity = ServerCertificate::from_pem_files(certificates, key)
                    .map_err(|error| Fault::failure(error.to_string()))?;
                builder.tls(Some(identity))
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => builder,
        };
        builder.build().map_err(|error| {
            let fault = Fault::usage(error.to_string());
            if self.bind.is_unspecified() {
                fault.tip("add --advertise HOST, the name under which clients reach this machine")
            } else {
                fault
            }
        })
    }

    async fn store(&self) -> Result<Arc<dyn LogStore>, Fault> {
        match (&self.uri, &self.data) {
            (Some(uri), _) => namespace::connect(uri).await,
            (None, Some(folder)) => local::open(folder).await,
            (None, None) => unreachable!("clap demands one of them"),
        }
    }
}

/// Why a proxy does not start, with what to do about it.
pub(crate) fn start_fault(error: &ProxyError) -> Fault {
    let fault = Fault::failure(error.to_string());
    if let ProxyError::AddressInUse { purpose, .. } = error {
        let flag = match *purpose {
            "clients" => "-p",
            "HTTP" => "--http-port",
            _ => "-sp",
        };
        return fault.tip(format!("choose another port with: {flag} PORT"));
    }
    fault
}
