use core::time::Duration;

use std::sync::{Arc, Mutex};

use distributedlog::Transport;
use distributedlog::async_writer::{self, HeapSlots, State};
use distributedlog::writer::{
    Heap, Identity, Settings, SettingsBuilder, StreamCount, Writer, WriterId,
};

use super::keyed::{Lane, lane_settings, run_lanes};
use super::shared_transport::share;
use super::watch::Watch;
use super::{KeyedWriter, MultiStreamWriter, StreamNames};
#[cfg(feature = "tls")]
use crate::Tls;
use crate::driver::SharedCounters;
use crate::transport::LastFailure;
use crate::{BuildError, ProxyClientBuilder, ProxyTransport, TokioClock};

/// Settings that have a method here, each with its documentation. They are kept apart from those of
/// [`MultiStreamWriterBuilder::settings`], so that the order of the calls does not matter.
macro_rules! explicit_settings {
    ($($(#[$doc:meta])+ $name:ident: $type:ty;)+) => {
        #[derive(Clone, Copy, Debug, Default)]
        struct ExplicitSettings { $($name: Option<$type>,)+ }

        impl ExplicitSettings {
            fn apply(self, mut settings: SettingsBuilder) -> SettingsBuilder {
                $(if let Some(value) = self.$name {
                    settings = settings.$name(value);
                })+
                settings
            }
        }

        impl MultiStreamWriterBuilder {
            $(
                $(#[$doc])+
                pub const fn $name(mut self, $name: $type) -> Self {
                    self.explicit.$name = Some($name);
                    self
                }
            )+
        }
    };
}

explicit_settings! {
    /// Bytes at which a record set is transmitted; see [`SettingsBuilder::buffer_size`].
    buffer_size: usize;
    /// Maximum time a partial set waits before it is transmitted; see
    /// [`SettingsBuilder::flush_interval`].
    flush_interval: Duration;
    /// Time from the acceptance of a record until its write completes at the latest; see
    /// [`SettingsBuilder::request_timeout`].
    request_timeout: Duration;
    /// Time that a set waits for its first attempt before it is hedged; see
    /// [`SettingsBuilder::first_speculative_timeout`].
    first_speculative_timeout: Duration;
    /// Longest time that a set waits before it is hedged again; see
    /// [`SettingsBuilder::max_speculative_timeout`].
    max_speculative_timeout: Duration;
}

/// Settings of a [`MultiStreamWriter`]; [`build`](Self::build) checks them and connects.
///
/// [`settings`](Self::settings) takes all settings of the writer, [`client`](Self::client) all
/// settings of the way to its proxies; the most used of both have a method here, which takes
/// precedence, whichever is called first.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct MultiStreamWriterBuilder {
    streams: Vec<String>,
    settings: SettingsBuilder,
    explicit: ExplicitSettings,
    client: ProxyClientBuilder,
    proxies: Option<String>,
    client_id: Option<String>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    identity: bool,
}

impl MultiStreamWriterBuilder {
    pub(super) fn new<S: Into<String>>(streams: impl IntoIterator<Item = S>) -> Self {
        Self {
            streams: streams.into_iter().map(Into::into).collect(),
            settings: Settings::builder(),
            explicit: ExplicitSettings::default(),
            client: ProxyClientBuilder::new(),
            proxies: None,
            client_id: None,
            #[cfg(feature = "tls")]
            tls: None,
            identity: true,
        }
    }

    /// Finagle name of the proxies; see [`ProxyClientBuilder::proxies`].
    pub fn proxies(mut self, name: impl Into<String>) -> Self {
        self.proxies = Some(name.into());
        self
    }

    /// Name by which the client identifies itself; see [`ProxyClientBuilder::client_id`].
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Encrypts the connections; see [`ProxyClientBuilder::tls`].
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Time until a set without an answer goes to another stream too: after `first`, then after
    /// longer times up to `max`.
    pub const fn speculative_timeouts(self, first: Duration, max: Duration) -> Self {
        self.first_speculative_timeout(first)
            .max_speculative_timeout(max)
    }

    /// Adds an identity to record sets, by which readers of several streams recognise the
    /// duplicates of a set (R12): 40 bytes each, which the original's readers skip. Default: on,
    /// with a writer id of 16 random bytes.
    ///
    /// An identity in the [`settings`](Self::settings) is used in any case.
    pub const fn identity(mut self, on: bool) -> Self {
        self.identity = on;
        self
    }

    /// All settings of the writer itself. Default: [`Settings::default`]. Methods of this builder
    /// that set a single one take precedence. If the settings have no
    /// [identity](SettingsBuilder::identity), [`identity`](Self::identity) decides.
    pub const fn settings(mut self, settings: SettingsBuilder) -> Self {
        self.settings = settings;
        self
    }

    /// All settings of the way to the proxies, their name included. Methods of this builder that
    /// set a single one take precedence.
    pub fn client(mut self, client: ProxyClientBuilder) -> Self {
        self.client = client;
        self
    }

    /// Returns the settings of the writer and of the client, in which single ones take precedence.
    fn effective(self) -> (SettingsBuilder, ProxyClientBuilder) {
        let mut client = self.client;
        if let Some(name) = self.proxies {
            client = client.proxies(name);
        }
        if let Some(id) = self.client_id {
            client = client.client_id(id);
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls {
            client = client.tls(tls);
        }
        (self.explicit.apply(self.settings), client)
    }

    /// Checks the settings, starts the task that does the writer's work on the current runtime, and
    /// waits until a proxy has shaken hands.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; [`BuildError::NoProxy`] has each host with the reason of its failure.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime with I/O and time enabled.
    pub async fn build(self) -> Result<MultiStreamWriter, BuildError> {
        let (settings, transport) = self.connect().await?;
        let parts = Parts::of(&transport);
        let (writer, work) = parts.writer(settings, transport)?;
        tokio::spawn(work);
        Ok(writer)
    }

    /// As [`build`](Self::build), for records with keys: those of a key keep their order (R20). The
    /// memory that the settings allow is divided among the streams. An `order` in the settings is
    /// ignored.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    ///
    /// # Panics
    ///
    /// As [`build`](Self::build).
    pub async fn build_keyed(self) -> Result<KeyedWriter, BuildError> {
        let names = self.streams.clone();
        let (settings, transport) = self.connect().await?;
        let parts = Parts::of(&transport);
        let (transports, deliveries) = share(transport, names.len());
        let mut lanes = Vec::with_capacity(names.len());
        let mut runners = Vec::with_capacity(names.len());
        for (lane, transport) in (0..).zip(transports) {
            let settings = lane_settings(&settings, lane, names.len());
            let (writer, work) = parts.writer(settings, transport)?;
            lanes.push(writer);
            runners.push(Some(Box::pin(work) as Lane));
        }
        tokio::spawn(run_lanes(runners, deliveries));
        Ok(KeyedWriter::new(lanes, &names))
    }

    /// Checks the settings and connects.
    async fn connect(self) -> Result<(Settings, ProxyTransport), BuildError> {
        let (streams, identity) = (self.streams.clone(), self.identity);
        let (settings, client) = self.effective();
        let count = StreamCount::new(streams.len()).map_err(BuildError::Writer)?;
        let settings = settings.build().map_err(BuildError::Writer)?;
        settings.check_streams(count).map_err(BuildError::Writer)?;
        let settings = with_randomness(settings, identity)?;
        let client = client.or_attempt_timeout(settings.request_timeout());
        Ok((settings, ProxyTransport::connect(client, &streams).await?))
    }
}

/// Parts that the writers over one transport share.
struct Parts {
    streams: StreamNames,
    clock: TokioClock,
    client: SharedCounters,
    last_failure: LastFailure,
}

impl Parts {
    fn of(transport: &ProxyTransport) -> Self {
        Self {
            streams: transport.streams(),
            clock: transport.clock(),
            client: transport.counters(),
            last_failure: transport.last_failure(),
        }
    }

    /// Makes a writer, and the future that a task must drive: it does the writer's work, and looks
    /// after the writer.
    fn writer<T: Transport + Send + 'static>(
        &self,
        settings: Settings,
        transport: T,
    ) -> Result<
        (
            MultiStreamWriter,
            impl Future<Output = ()> + Send + 'static + use<T>,
        ),
        BuildError,
    > {
        let count = self.streams.members().len();
        let count = StreamCount::new(count).map_err(BuildError::Writer)?;
        let memory = Heap::new(&settings, count);
        let machine = Writer::new(settings, count, memory).expect(
            "the heap's tables are as large as the settings ask for, and the streams were checked",
        );
        let state = State::new(machine, HeapSlots::new(), self.clock);
        let state = Arc::new(Mutex::new(state));
        let watch = Watch {
            state: Arc::clone(&state),
            streams: self.streams.clone(),
            client: self.client.clone(),
            last_failure: self.last_failure.clone(),
        };
        let (writer, runner) = async_writer::MultiStreamWriter::new(state, transport);
        let writer = MultiStreamWriter {
            writer,
            streams: self.streams.clone(),
            clock: self.clock,
            client_counters: self.client.clone(),
            last_failure: self.last_failure.clone(),
        };
        let work = async move {
            tokio::select! {
                () = runner.run() => {}
                () = watch.run() => {}
            }
        };
        Ok((writer, work))
    }
}

/// Fills in what is to be random and was not set. Without randomness the order of the streams is
/// made of the process's number, and sets have no identity: two writers with one id would pass for
/// one, and their records for duplicates.
fn with_randomness(settings: Settings, identity: bool) -> Result<Settings, BuildError> {
    let mut builder = settings.to_builder();
    if settings.seed().is_none() {
        builder = builder.seed(getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())));
    }
    let mut writer = [0; 16];
    if identity && settings.identity() == Identity::Off && getrandom::fill(&mut writer).is_ok() {
        builder = builder.identity(Identity::Trailer {
            writer: WriterId(writer),
            first_sequence: 0,
        });
    }
    builder.build().map_err(BuildError::Writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_settings_hold_whether_all_of_them_come_before_or_after() {
        let (timeout, first, max) = (
            Duration::from_secs(7),
            Duration::from_millis(3),
            Duration::from_millis(5),
        );
        let single = |builder: MultiStreamWriterBuilder| {
            builder
                .buffer_size(77)
                .flush_interval(Duration::ZERO)
                .request_timeout(timeout)
                .speculative_timeouts(first, max)
                .proxies("inet!a:1")
                .client_id("me")
        };
        let all = |builder: MultiStreamWriterBuilder| {
            builder
                .settings(SettingsBuilder::original().in_flight_sets(9))
                .client(
                    ProxyClientBuilder::new()
                        .proxies("inet!b:2")
                        .max_in_flight(5),
                )
        };
        let new = || MultiStreamWriterBuilder::new(["a"]);
        let (before, after) = (single(all(new())), all(single(new())));
        let ((settings, client), (other, other_client)) = (before.effective(), after.effective());
        assert_eq!(settings, other);
        assert_eq!(format!("{client:?}"), format!("{other_client:?}"));
        let expected = SettingsBuilder::original()
            .in_flight_sets(9)
            .buffer_size(77)
            .flush_interval(Duration::ZERO)
            .request_timeout(timeout)
            .first_speculative_timeout(first)
            .max_speculative_timeout(max);
        assert_eq!(settings, expected);
        let client = format!("{client:?}");
        assert!(client.contains("inet!a:1") && client.contains("max_in_flight: 5"));
    }
}
