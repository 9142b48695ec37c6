use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reload::ReloadedFiles;
use super::server_tls::ServerTls;
use super::setting_flags::{self, FlagGroup, FlagRows, TableFlags};
use super::{CliError, Output, Shutdown, folder, namespace, port, service_manager};
use distributedlog_proxy::StoreStatsPort;
use distributedlog_store::descriptors::DescriptorBudget;
use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore, is_store_file};
use distributedlog_store::net::listen;
use distributedlog_store::remote::{ServerSettings, StoreSecret, serve};
use distributedlog_store::uri::{DEFAULT_PORT, Uri};
use distributedlog_store::{LogStore, StoreError};

/// Serve a store in a folder of this machine to proxies, readers and the tool.
///
/// Prints the namespace's URI, which the other commands take, and a line `listening on ADDRESS`
/// once it serves. What is acknowledged is on disk. One process at a time can serve a folder.
/// Ctrl-C ends it after what is in flight. It reads the files of TLS and of the secret again when
/// they change, and on SIGHUP; without such files SIGHUP ends it as Ctrl-C does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog local
  dlog local 7000 --data /var/lib/dlog
  dlog local 0            (the system chooses a port; see the URI)
  dlog local --bind 10.0.0.5 --secret-file secret --tls-certificates store.pem --tls-key key.pem")]
pub(crate) struct Args {
    /// The port to serve on; 0 lets the system choose
    #[arg(value_parser = port::parse, default_value_t = DEFAULT_PORT)]
    port: u16,

    /// The folder of the store [default: local-PORT under the user's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The address to listen on. Every client that can reach it can read, write and delete
    /// everything, unless --secret-file or --tls-client-ca is given
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,

    /// The port for metrics and health over HTTP, on the same address: `/metrics`, `/healthz`, and
    /// `/readyz`, which says if a write would be taken; 0 lets the system choose [default: none]
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    stats_port: Option<u16>,

    /// Serve TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = SECURITY)]
    tls_certificates: Option<PathBuf>,

    /// The private key of --tls-certificates (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificates", help_heading = SECURITY)]
    tls_key: Option<PathBuf>,

    /// Serve only clients with a certificate of this authority (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificates", help_heading = SECURITY)]
    tls_client_ca: Option<PathBuf>,

    /// Serve only clients that know the secret in this file, of 16 bytes or more; it is never sent
    #[arg(long, value_name = "FILE", help_heading = SECURITY)]
    secret_file: Option<PathBuf>,

    #[command(flatten)]
    server: TableFlags<ServerLimits>,

    #[command(flatten)]
    files: TableFlags<LocalFiles>,
}

/// Heading of the flags that say who is served.
const SECURITY: &str = "TLS and the secret";

/// Flags for the server's settings. The namespace has none: the URI that this command prints names
/// it, and so do the other commands' examples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits;

impl FlagGroup for ServerLimits {
    type Settings = ServerSettings;
    const HEADING: Option<&'static str> = Some("Limits and timeouts");
    const ROWS: FlagRows = FlagRows::Except(&[]);
    const OWN: &'static [(&'static str, &'static str, &'static str)] = &[];

    fn defaults() -> ServerSettings {
        ServerSettings::default()
    }
}

/// Flags for the settings of a store in a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalFiles;

impl FlagGroup for LocalFiles {
    type Settings = EmbeddedSettings;
    const HEADING: Option<&'static str> = Some("The store's files");
    // Without a flag are the limits of entries, batches, memory and open files. The largest record
    // and the sizes of frames are fixed by the proxy, and the defaults have room for them; lower
    // ones would refuse what proxies send.
    const ROWS: FlagRows = FlagRows::Only(&[
        "volume_bytes",
        "preallocate",
        "sector_bytes",
        "segment_bytes",
        "segment_age",
        "compaction_rate",
        "scrub_rate",
        "scrub_interval",
        "reserve_bytes",
        "retention_age",
        "retention_bytes",
        "max_streams",
        "max_creations_per_second",
    ]);
    const OWN: &'static [(&'static str, &'static str, &'static str)] = &[(
        "preallocate",
        "no-preallocate",
        "Let volume files grow as they are written, instead of reserving their space when they are \
         created",
    )];

    fn defaults() -> EmbeddedSettings {
        EmbeddedSettings::new("")
    }
}

impl Args {
    /// Serves until shutdown is requested.
    ///
    /// # Errors
    /// The folder cannot be opened, or the address cannot be listened on.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), CliError> {
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None => folder::user_data(&format!("local-{}", self.port))?,
        };
        let mut settings = ServerSettings::default();
        self.server.apply(&mut settings)?;
        settings
            .check()
            .map_err(|error| setting_flags::refused::<ServerLimits>(&error))?;
        let reloaded = self.secure(&mut settings)?;
        let hangups = reloaded.hangups(shutdown);
        let mut files = EmbeddedSettings::new(&folder);
        self.files.apply(&mut files)?;
        files
            .check()
            .map_err(|error| setting_flags::refused::<LocalFiles>(&error))?;
        let address = SocketAddr::new(self.bind, self.port);
        settings.descriptors = reserve_descriptors(files.descriptors())?;
        // The address first: a second start on the same port must fail because of the port, not
        // because the folder is locked.
        let listener =
            listen(address).map_err(|error| cannot_listen(address, &error, "dlog local PORT"))?;
        let stats = self.stats_port.map(|port| {
            let address = SocketAddr::new(self.bind, port);
            let bound = listen(address).and_then(|it| it.local_addr().map(|bound| (it, bound)));
            let another = "dlog local --stats-port PORT";
            bound.map_err(|error| cannot_listen(address, &error, another))
        });
        let stats = stats.transpose()?;
        let store = open_with(files).await?;
        let server = serve(listener, Arc::clone(&store), settings)
            .map_err(|error| CliError::failure(format!("cannot serve on {address}: {error}")))?;
        let _stats = stats.map(|(listener, bound)| {
            output.announce(format_args!("metrics and health on http://{bound}"));
            StoreStatsPort::start(listener, bound, Arc::clone(&store), &server)
        });
        let bound = server.local_addr();
        output.announce(Uri::local(&reachable(bound).ip().to_string(), bound.port()));
        output.announce(format_args!("listening on {bound}"));
        let id = store
            .identity()
            .map_or_else(String::new, |id| format!(" {id}"));
        tracing::info!("the store{id} is in {}", folder.display());
        self.warn_if_open(bound);
        service_manager::ready(&format!("listening on {bound}"));
        tokio::select! {
            () = shutdown.requested() => {}
            never = reloaded.reload_at(hangups, |_, _| ()) => match never {},
        }
        server.drain().await;
        store
            .close()
            .await
            .map_err(|error| namespace::store_error(&error, None))?;
        tracing::info!("all acknowledged records are on disk; the server has stopped");
        Ok(())
    }
}

impl Args {
    /// Reads the certificates and the secret into the settings. Returns the files, to be read
    /// again.
    ///
    /// # Errors
    /// A file cannot be used. The error names its flag.
    fn secure(&self, settings: &mut ServerSettings) -> Result<ReloadedFiles, CliError> {
        let mut files = ReloadedFiles::default();
        if let (Some(chain), Some(key)) = (&self.tls_certificates, &self.tls_key) {
            let tls = ServerTls {
                chain,
                key,
                client_ca: self.tls_client_ca.as_ref(),
                client_required: true,
            };
            settings.tls = Some(tls.read(&mut files)?);
        }
        if let Some(file) = &self.secret_file {
            let secret = StoreSecret::from_file(file).map_err(|error| {
                CliError::failure(format!("--secret-file: {error}"))
                    .tip("make one with: openssl rand -base64 32 > FILE")
            })?;
            settings.secret = Some(secret.clone());
            let path = file.clone();
            let read = move || secret.reload_file(&path).map_err(|error| error.to_string());
            files.add("secret", &[file], read);
        }
        Ok(files)
    }

    /// Warns if other machines reach the store, and it admits every client.
    fn warn_if_open(&self, bound: SocketAddr) {
        if !bound.ip().is_loopback() && self.secret_file.is_none() && self.tls_client_ca.is_none() {
            tracing::warn!(
                "every client that reaches {bound} can read, write and delete: --secret-file, or \
                 --tls-certificates with --tls-client-ca, admits only known ones"
            );
        }
    }
}

/// Reserves file descriptors for the store, and returns what is left for connections.
///
/// # Errors
/// The limit of open files is too low.
pub(crate) fn reserve_descriptors(store: usize) -> Result<DescriptorBudget, CliError> {
    DescriptorBudget::of_process(store).map_err(|error| {
        let needed = error.needed();
        CliError::failure(error.to_string()).tip(format!(
            "raise it with ulimit -n {needed}, or LimitNOFILE={needed} in a unit of systemd"
        ))
    })
}

/// Opens the store in a folder.
///
/// # Errors
/// The folder is locked by another process, damaged, or not writable.
pub(crate) async fn open(folder: &Path) -> Result<Arc<dyn LogStore>, CliError> {
    open_with(EmbeddedSettings::new(folder)).await
}

/// Opens a store with the given settings.
///
/// # Errors
/// As [`open`].
pub(crate) async fn open_with(settings: EmbeddedSettings) -> Result<Arc<dyn LogStore>, CliError> {
    check_foreign_files(&settings.folder)?;
    // Recovery reads the last process's journal: it takes a while, and it blocks.
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(settings))
        .await
        .expect("opening a store does not panic");
    let store = opened.map_err(|error| {
        if let StoreError::Io { .. } = error {
            CliError::failure(format!("cannot use the folder: {error}"))
                .tip("name another one with --data DIR")
        } else {
            namespace::store_error(&error, None)
        }
    })?;
    Ok(Arc::new(store))
}

/// Refuses a folder that has other files and no store: a mistyped name must not fill somebody's
/// home with files of a store.
///
/// # Errors
/// Names some of the files. A folder that cannot be listed is left to the store.
fn check_foreign_files(folder: &Path) -> Result<(), CliError> {
    let Ok(found) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    let mut foreign = Vec::new();
    for file in found.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if is_store_file(&name) {
            return Ok(());
        }
        // A new file system has the second, and version control leaves the first.
        if !name.starts_with('.') && name != "lost+found" {
            foreign.push(name);
        }
    }
    if foreign.is_empty() {
        return Ok(());
    }
    foreign.sort_unstable();
    let more = foreign.len().saturating_sub(3);
    foreign.truncate(3);
    let mut names = foreign.join(", ").escape_debug().to_string();
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    let place = folder.display();
    Err(
        CliError::failure(format!("{place} has no store, but other files: {names}"))
            .tip(format!("use a folder of its own: --data {place}/store")),
    )
}

/// Returns the address under which this machine reaches a listener: loopback for one that listens
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

/// Describes why `address` cannot be listened on, with what to do about it.
#[must_use]
pub(crate) fn cannot_listen(address: SocketAddr, error: &io::Error, another: &str) -> CliError {
    let (port, kind) = (address.port(), error.kind());
    if kind == ErrorKind::AddrInUse {
        CliError::failure(format!(
            "{address} is in use: another process listens there"
        ))
        .tip(format!(
            "see which with: ss -ltnp 'sport = :{port}'\nchoose another port with: {another}"
        ))
    } else if kind == ErrorKind::PermissionDenied {
        CliError::failure(format!("this user may not listen on {address}"))
            .tip("choose a port from 1024 up")
    } else if kind == ErrorKind::AddrNotAvailable {
        CliError::failure(format!(
            "{} is not an address of this machine",
            address.ip()
        ))
        .tip("see its addresses with: ip address")
    } else {
        CliError::failure(format!("cannot listen on {address}: {error}"))
    }
}
