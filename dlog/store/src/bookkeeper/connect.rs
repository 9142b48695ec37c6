//! Connects to a namespace on a real cluster.

use std::sync::Arc;

use distributedlog_bookkeeper::driver::zookeeper::{Session, SessionSettings};
use distributedlog_bookkeeper::driver::{
    Client, Connect, Environment, LedgerAccess, LedgerOptions, Sessions, Settings,
};
use distributedlog_bookkeeper::namespace::Binding;
use distributedlog_bookkeeper::namespace::nodes::{LogError as NodesError, Namespace};
use distributedlog_bookkeeper::zookeeper::{Access, ZooKeeper};

use super::log::Cluster;
use super::names::Names;
use super::reach::until_all_refuse;
use super::settings::BookKeeperSettings;
use super::store::BookKeeperStore;
use crate::StoreError;
use crate::uri::Uri;

/// A store on a real cluster.
pub type BookKeeper = BookKeeperStore<Session>;

/// Connects to the namespace of a URI, whose hosts are servers of ZooKeeper.
///
/// # Errors
///
/// [`StoreError::Unreachable`] if no server answers; [`StoreError::Refused`] if the namespace is
/// not bound to a cluster, or the cluster is not formatted; [`StoreError::InvalidSetting`].
///
/// # Cancel safety
///
/// Dropping the future ends what has begun.
pub async fn connect(uri: &Uri, settings: BookKeeperSettings) -> Result<BookKeeper, StoreError> {
    let parts = parts_of(uri, &settings).await?;
    Ok(BookKeeperStore::of(settings, Environment::default(), parts))
}

/// Connects to the parts of a namespace.
pub(super) async fn parts_of(
    uri: &Uri,
    settings: &BookKeeperSettings,
) -> Result<Parts<Session>, StoreError> {
    settings.check()?;
    let servers = servers_of(uri);
    let sessions = begin(&servers, settings).await?;
    let namespace = Namespace::new(sessions.current(), uri.namespace(), Access::default());
    let binding = binding(&namespace, &servers).await?;
    // Ledgers may lie in another ensemble than the streams.
    let of_ledgers = &binding.bookkeeper_servers;
    let ledger_sessions = if is_same(of_ledgers, &servers) {
        sessions.clone()
    } else {
        begin(of_ledgers, settings).await?
    };
    let over = Ensembles {
        sessions,
        ledger_sessions,
        servers: &servers,
    };
    Parts::open(
        settings,
        &Environment::default(),
        over,
        uri.namespace(),
        None,
    )
    .await
}

/// Returns the servers of ZooKeeper that a URI names.
pub(super) fn servers_of(uri: &Uri) -> String {
    let hosts: Vec<String> = uri.hosts().iter().map(ToString::to_string).collect();
    hosts.join(",")
}

/// Returns true if two lists of servers name the same ones.
fn is_same(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut servers: Vec<String> = text.split([',', ';']).map(str::to_owned).collect();
        servers.sort_unstable();
        servers
    };
    sorted(one) == sorted(other)
}

/// Sessions with ZooKeeper.
pub struct Ensembles<'a, Z> {
    /// With the ensemble of the streams.
    pub sessions: Sessions<Z>,
    /// With the ensemble of the ledgers, usually the same.
    pub ledger_sessions: Sessions<Z>,
    /// Names of the servers, for errors.
    pub servers: &'a str,
}

pub(super) async fn begin(
    servers: &str,
    settings: &BookKeeperSettings,
) -> Result<Sessions<Session>, StoreError> {
    let session = SessionSettings {
        session_timeout: settings.session_timeout,
        ..SessionSettings::default()
    };
    let begun = tokio::select! {
        begun = Sessions::connect(servers, session) => begun.map_err(|error| error.to_string()),
        // The client goes on trying, which is no use to a person who has mistyped a port.
        reason = until_all_refuse(servers) => Err(reason),
    };
    begun.map_err(|detail| StoreError::Unreachable {
        address: servers.to_owned(),
        detail,
    })
}

impl<Z: ZooKeeper> BookKeeperStore<Z> {
    /// Opens a namespace over sessions with ZooKeeper. `connect` replaces TCP connections to the
    /// bookies.
    ///
    /// # Errors
    ///
    /// As [`connect`].
    pub async fn open(
        settings: BookKeeperSettings,
        environment: Environment,
        ensembles: Ensembles<'_, Z>,
        namespace: &str,
        connect: Option<Arc<dyn Connect>>,
    ) -> Result<Self, StoreError> {
        let parts = Parts::open(&settings, &environment, ensembles, namespace, connect).await?;
        Ok(Self::of(settings, environment, parts))
    }

    fn of(settings: BookKeeperSettings, environment: Environment, parts: Parts<Z>) -> Self {
        let first = parts.binding.first_sequence_number();
        let names = Names::new(parts.sessions, parts.namespace, parts.cluster, first);
        Self::over(settings, environment, names)
    }
}

/// A namespace and its cluster.
pub(super) struct Parts<Z: ZooKeeper> {
    pub(super) sessions: Sessions<Z>,
    pub(super) ledger_sessions: Sessions<Z>,
    pub(super) namespace: Namespace<Z>,
    pub(super) binding: Binding,
    pub(super) cluster: Cluster,
}

impl<Z: ZooKeeper> Parts<Z> {
    /// Reads the binding of a namespace and connects to its cluster.
    pub(super) async fn open(
        settings: &BookKeeperSettings,
        environment: &Environment,
        ensembles: Ensembles<'_, Z>,
        namespace: &str,
        connect: Option<Arc<dyn Connect>>,
    ) -> Result<Self, StoreError> {
        settings.check()?;
        let Ensembles {
            sessions,
            ledger_sessions,
            servers,
        } = ensembles;
        let namespace = Namespace::new(sessions.current(), namespace, Access::default());
        let binding = binding(&namespace, servers).await?;
        let client = Client::over(
            client_settings(settings),
            environment.clone(),
            ledger_sessions.clone(),
            &binding.ledgers,
            connect,
        );
        let client = client.await.map_err(|error| StoreError::Refused {
            address: servers.to_owned(),
            detail: error.to_string(),
        })?;
        let options = LedgerOptions {
            ensemble_size: settings.ensemble_size,
            write_quorum: settings.write_quorum,
            ack_quorum: settings.ack_quorum,
            ..LedgerOptions::default()
        };
        let cluster = Cluster {
            client,
            access: LedgerAccess::default(),
            options: Arc::new(options),
            unix_ms: Arc::clone(&environment.unix_ms),
        };
        Ok(Self {
            sessions,
            ledger_sessions,
            namespace,
            binding,
            cluster,
        })
    }
}

/// Reads the binding of a namespace.
async fn binding<Z: ZooKeeper>(
    namespace: &Namespace<Z>,
    servers: &str,
) -> Result<Binding, StoreError> {
    let address = servers.to_owned();
    match namespace.binding().await {
        Ok(binding) => Ok(binding),
        Err(error @ (NodesError::NotFound { .. } | NodesError::Binding { .. })) => {
            let root = namespace.root();
            let detail = format!(
                "{error}; bind the namespace to a BookKeeper cluster first: \
                 dlog admin bind -l /ledgers -s {servers} -c distributedlog://{servers}{root}"
            );
            Err(StoreError::Refused { address, detail })
        }
        Err(error) => Err(StoreError::Unreachable {
            address,
            detail: error.to_string(),
        }),
    }
}

fn client_settings(settings: &BookKeeperSettings) -> Settings {
    let mut client = Settings::default();
    client.writer.add_timeout = settings.add_timeout;
    // Before that the segment is ended anyway.
    client.writer.stall_timeout = settings.append_timeout;
    client.read_timeout = settings.read_timeout;
    client
}
