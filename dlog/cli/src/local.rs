use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Fault, Output, Shutdown, folder, namespace, port};
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
use distributedlog_store::net::{listen, raise_open_files};
use distributedlog_store::remote::{ServerSettings, serve};
use distributedlog_store::uri::{DEFAULT_PORT, Uri};
use distributedlog_store::{LogStore, StoreError};

/// How long clients get to finish what is in flight when the end is asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// Serve a store in a folder of this machine to proxies, readers and the tool.
///
/// Prints the namespace's URI, which the other commands take, and a line `listening on ADDRESS`
/// once it serves. What is acknowledged is on disk. One process at a time can serve a folder.
/// Ctrl-C ends it after what is in flight.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog local
  dlog local 7000 --data /var/lib/dlog
  dlog local 0            (the system chooses a port, and the URI says which)")]
pub(crate) struct Args {
    /// The port to serve on; 0 lets the system choose
    #[arg(value_parser = port::parse, default_value_t = DEFAULT_PORT)]
    port: u16,

    /// The folder of the store [default: local-PORT under the user's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The address to listen on. Whoever can reach it can read, write and delete everything
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
}

impl Args {
    /// Serves until the end is asked for.
    ///
    /// # Errors
    /// The folder cannot be opened, or the address cannot be listened on.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), Fault> {
        let folder = match self.data {
            Some(folder) => folder,
            None => folder::user_data(&format!("local-{}", self.port))?,
        };
        let address = SocketAddr::new(self.bind, self.port);
        raise_open_files();
        // The address first: a second start on the same port should hear that, not that the folder
        // is taken.
        let listener =
            listen(address).map_err(|error| cannot_listen(address, &error, "dlog local PORT"))?;
        let store = open(&folder).await?;
        let settings = ServerSettings::default();
        let server = serve(listener, Arc::clone(&store), settings)
            .map_err(|error| Fault::failure(format!("cannot serve on {address}: {error}")))?;
        let bound = server.local_addr();
        output.announce(Uri::local(&reachable(bound).ip().to_string(), bound.port()));
        output.announce(format_args!("listening on {bound}"));
        tracing::info!("the store is in {}", folder.display());
        shutdown.asked().await;
        server.drain(DRAIN).await;
        store
            .close()
            .await
            .map_err(|error| namespace::fault(&error, None))?;
        tracing::info!("everything is on disk; good bye");
        Ok(())
    }
}

/// Opens the store in a folder.
///
/// # Errors
/// It is held by another process, damaged, or not to be written.
pub(crate) async fn open(folder: &Path) -> Result<Arc<dyn LogStore>, Fault> {
    open_with(EmbeddedSettings::new(folder)).await
}

/// Opens the store with other settings than the default ones.
///
/// # Errors
/// As [`open`].
pub(crate) async fn open_with(settings: EmbeddedSettings) -> Result<Arc<dyn LogStore>, Fault> {
    // Recovery reads what the last process left: it may take a while, and it blocks.
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(settings))
        .await
        .expect("opening a store does not panic");
    let store = opened.map_err(|error| {
        if let StoreError::Io { .. } = error {
            Fault::failure(format!("the folder cannot be used: {error}"))
                .tip("name another one with --data DIR")
        } else {
            namespace::fault(&error, None)
        }
    })?;
    Ok(Arc::new(store))
}

/// The address under which a listener is reached from this machine: loopback for one that listens
/// on every address.
#[must_use]
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(core::net::Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// Why nothing can be served on an address, and what to do about it.
#[must_use]
pub(crate) fn cannot_listen(address: SocketAddr, error: &io::Error, another: &str) -> Fault {
    let (port, kind) = (address.port(), error.kind());
    if kind == ErrorKind::AddrInUse {
        Fault::failure(format!(
            "{address} is in use: another process listens there"
        ))
        .tip(format!(
            "see which with: ss -ltnp 'sport = :{port}'\nchoose another port with: {another}"
        ))
    } else if kind == ErrorKind::PermissionDenied {
        Fault::failure(format!("this user may not listen on {address}"))
            .tip("choose a port from 1024 up")
    } else if kind == ErrorKind::AddrNotAvailable {
        Fault::failure(format!("{} is no address of this machine", address.ip()))
            .tip("see its addresses with: ip address")
    } else {
        Fault::failure(format!("cannot listen on {address}: {error}"))
    }
}
