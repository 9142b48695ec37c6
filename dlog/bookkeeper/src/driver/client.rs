//! The client: ledgers are created, written, recovered, read and deleted.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::available::Available;
use super::bookies::{BookieSet, follow_bookies};
use super::clock::Clock;
use super::dial::{Connect, Dial};
use super::environment::Environment;
use super::error::LedgerError;
use super::nodes::SessionNodes;
use super::pool::Pool;
use super::reader::LedgerReader;
use super::recovery::recover;
use super::sessions::{AbortOnDrop, Sessions};
use super::settings::Settings;
use super::shared::Core;
use super::writer::LedgerWriter;
use crate::LedgerId;
use crate::cluster::{Ledgers, NewLedger};
use crate::entry::{DigestType, EntryCodec, MasterKey};
use crate::ledger::{MetadataReply, Versioned};
use crate::metadata::{BookieId, Format};
use crate::zookeeper::{Access, ZooKeeper};

/// Sizes and secrets of a new ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOptions {
    /// Bookies of an ensemble. Default: 3.
    pub ensemble_size: usize,
    /// Bookies that store each entry. Default: 3.
    pub write_quorum: usize,
    /// Bookies that must have stored an entry before it is confirmed. Default: 2.
    pub ack_quorum: usize,
    /// Digest of the entries. Default: CRC-32, as DistributedLog's.
    pub digest: DigestType,
    /// Password. Default: none, as DistributedLog's.
    pub password: Bytes,
    /// Format of the metadata. Default: text, which every version of BookKeeper reads.
    pub format: Format,
    /// Metadata of the application.
    pub custom: BTreeMap<String, Bytes>,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            ensemble_size: 3,
            write_quorum: 3,
            ack_quorum: 2,
            digest: DigestType::Crc32,
            password: Bytes::new(),
            format: Format::Text,
            custom: BTreeMap::new(),
        }
    }
}

/// Digest and password of a ledger, for those who open it.
#[derive(Clone, PartialEq, Eq)]
pub struct LedgerAccess {
    /// Digest, where the ledger's metadata names none.
    pub digest: DigestType,
    /// Password.
    pub password: Bytes,
}

impl Default for LedgerAccess {
    /// Returns what DistributedLog uses: CRC-32 and an empty password.
    fn default() -> Self {
        Self {
            digest: DigestType::Crc32,
            password: Bytes::new(),
        }
    }
}

impl fmt::Debug for LedgerAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerAccess")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// A client of a BookKeeper cluster. Clones share its connections.
///
/// All methods must be called within a tokio runtime.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
}

impl Client {
    /// Connects to the cluster at `root`, for instance `/ledgers`, with TCP connections to its
    /// bookies.
    ///
    /// # Errors
    /// [`LedgerError`] if the cluster's layout cannot be read.
    pub async fn new<Z: ZooKeeper>(
        settings: Settings,
        sessions: Sessions<Z>,
        root: &str,
    ) -> Result<Self, LedgerError> {
        Self::over(settings, Environment::default(), sessions, root, None).await
    }

    /// As [`new`](Self::new), over other connections, another clock or other random numbers.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub async fn over<Z: ZooKeeper>(
        settings: Settings,
        environment: Environment,
        sessions: Sessions<Z>,
        root: &str,
        connect: Option<Arc<dyn Connect>>,
    ) -> Result<Self, LedgerError> {
        let cluster = Ledgers::open(sessions.current(), root, Access::default()).await?;
        let (publish, bookies) = watch::channel(Arc::<BookieSet>::default());
        let followed = follow_bookies(sessions.changes(), cluster.root().to_owned(), publish);
        let connect = connect.unwrap_or_else(|| {
            Arc::new(Dial {
                bookies: bookies.clone(),
                timeout: settings.connect_timeout,
                authentication: None,
                #[cfg(feature = "tls")]
                tls: None,
            })
        });
        let clock = Clock::new();
        let seed = (environment.random)() as u64;
        let bookies = Available::new(clock, seed, bookies);
        let forward = bookies.forward();
        let followed = async {
            tokio::select! {
                biased;
                () = followed => {}
                () = forward => {}
            }
        };
        Ok(Self {
            core: Arc::new(Core {
                pool: Pool::new(connect, settings.max_unanswered_bytes_per_bookie),
                nodes: Arc::new(SessionNodes::new(sessions, cluster)),
                bookies,
                settings,
                environment,
                clock,
                _follower: AbortOnDrop(tokio::spawn(followed)),
            }),
        })
    }

    /// Creates a ledger and returns its writer.
    ///
    /// # Errors
    /// [`LedgerError`]. If ZooKeeper's reply was lost, an empty ledger may be left behind.
    pub async fn create(&self, options: &LedgerOptions) -> Result<LedgerWriter, LedgerError> {
        let is_valid = 0 < options.ack_quorum
            && options.ack_quorum <= options.write_quorum
            && options.write_quorum <= options.ensemble_size
            && options.ensemble_size <= 64;
        if !is_valid {
            return Err(LedgerError::Quorums);
        }
        let new = NewLedger {
            ensemble: self.choose(options.ensemble_size)?,
            write_quorum: options.write_quorum,
            ack_quorum: options.ack_quorum,
            digest: options.digest,
            password: options.password.clone(),
            format: options.format,
            created_unix_ms: (self.core.environment.unix_ms)(),
            custom: options.custom.clone(),
            token: (self.core.environment.random)(),
        };
        let (ledger, created) = self.core.nodes.create(&new).await?;
        let codec = EntryCodec::new(ledger, options.digest, &options.password);
        let key = MasterKey::of_password(&options.password);
        Ok(LedgerWriter::new(&self.core, codec, key, created))
    }

    fn choose(&self, wanted: usize) -> Result<Vec<BookieId>, LedgerError> {
        let mut ensemble = self.core.bookies.candidates();
        if ensemble.len() < wanted {
            return Err(LedgerError::NotEnoughBookies {
                wanted,
                available: ensemble.len(),
            });
        }
        ensemble.truncate(wanted);
        Ok(ensemble)
    }

    /// Returns a reader of a ledger, without disturbing its writer.
    ///
    /// # Errors
    /// [`LedgerError`].
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn open(
        &self,
        ledger: LedgerId,
        access: &LedgerAccess,
    ) -> Result<LedgerReader, LedgerError> {
        let stored = self.metadata(ledger).await?;
        let (codec, _) = codec_of(ledger, &stored, access)?;
        Ok(LedgerReader::new(&self.core, codec, stored))
    }

    /// Closes a ledger that its writer left, or takes it from a writer that lives: fences it, finds
    /// its end, and returns a reader of the closed ledger. A ledger that is closed stays as it is.
    ///
    /// # Errors
    /// [`LedgerError`]. The ledger may be fenced then; another recovery may begin.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the ledger as a failure would.
    pub async fn recover(
        &self,
        ledger: LedgerId,
        access: &LedgerAccess,
    ) -> Result<LedgerReader, LedgerError> {
        let stored = self.metadata(ledger).await?;
        let (codec, key) = codec_of(ledger, &stored, access)?;
        let closed = recover(&self.core, &codec, key, stored)
            .await
            .map_err(|error| LedgerError::Recovery(ledger, error))?;
        Ok(LedgerReader::new(&self.core, codec, closed))
    }

    /// Deletes a ledger: its metadata at once, its entries when the bookies collect garbage. One
    /// that is not closed is fenced first, so that its writer stops. Deleting a ledger that does
    /// not exist is no error.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn delete(&self, ledger: LedgerId, access: &LedgerAccess) -> Result<(), LedgerError> {
        let stored = match self.metadata(ledger).await {
            Ok(stored) => stored,
            Err(LedgerError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if !stored.metadata.is_closed() {
            let (codec, key) = codec_of(ledger, &stored, access)?;
            // A ledger that cannot be recovered is deleted too: its bookies may be gone for good.
            if let Err(error) = recover(&self.core, &codec, key, stored).await {
                tracing::warn!(ledger, %error, "a ledger is deleted that could not be closed");
            }
        }
        self.core.nodes.delete(ledger).await
    }

    /// Reads a ledger's metadata.
    ///
    /// # Errors
    /// [`LedgerError`].
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn metadata(&self, ledger: LedgerId) -> Result<Versioned, LedgerError> {
        match self.core.nodes.read(ledger).await {
            MetadataReply::Found(stored) => Ok(stored),
            MetadataReply::NoNode => Err(LedgerError::NotFound(ledger)),
            MetadataReply::Unknown => Err(LedgerError::Unavailable(ledger)),
        }
    }

    /// Waits until the bookies that are there are known for the first time.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn bookies_known(&self) {
        let changes = self.core.bookies.changes();
        let _known = changes
            .wait_for(|it| !(it.writable.is_empty() && it.read_only.is_empty()))
            .await;
    }

    /// Returns the bookies that are registered.
    #[must_use]
    pub fn registered_bookies(&self) -> Arc<BookieSet> {
        self.core.bookies.changes().get()
    }

    /// Returns the bookies that can be chosen for new ledgers, best first.
    #[must_use]
    pub fn bookies(&self) -> Vec<BookieId> {
        self.core.bookies.candidates()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

fn codec_of(
    ledger: LedgerId,
    stored: &Versioned,
    access: &LedgerAccess,
) -> Result<(EntryCodec, MasterKey), LedgerError> {
    // The password is in the metadata; bookies would refuse another too, but only some requests.
    let other = |password: &Bytes| *password != access.password;
    if stored.metadata.password.as_ref().is_some_and(other) {
        return Err(LedgerError::WrongPassword(ledger));
    }
    let digest = stored.metadata.digest.unwrap_or(access.digest);
    let codec = EntryCodec::new(ledger, digest, &access.password);
    Ok((codec, MasterKey::of_password(&access.password)))
}
