use core::time::Duration;

use std::sync::{Arc, Mutex};

use distributedlog::async_writer::{self, HeapSlots, State};
use distributedlog::writer::{
    Heap, Identity, Settings, SettingsBuilder, StreamCount, Writer, WriterId,
};
use distributedlog::{Cause, Failure, Transport};

use super::keyed::{Lane, lane_settings, run_lanes};
use super::shared_transport::share;
use super::watch::Watch;
use super::{KeyedWriter, MultiStreamWriter, StreamNames};
#[cfg(feature = "tls")]
use crate::Tls;
use crate::driver::{SharedCounters, SharedPool};
use crate::transport::LastFailure;
use crate::{
    BuildError, ProxyClient, ProxyClientBuilder, ProxyTransport, RequestError, TokioClock,
};

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
/// precedence, whichever is called first. Many writers of one process
/// [share a client](Self::shared_client).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct MultiStreamWriterBuilder {
    streams: Vec<String>,
    settings: SettingsBuilder,
    explicit: ExplicitSettings,
    client: Option<ProxyClientBuilder>,
    proxies: Option<String>,
    client_id: Option<String>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    shared_client: Option<ProxyClient>,
    identity: bool,
}

/// A writer's way to the proxies.
enum Connections {
    Own(Box<ProxyClientBuilder>),
    Shared(ProxyClient),
}

impl MultiStreamWriterBuilder {
    pub(super) fn new<S: Into<String>>(streams: impl IntoIterator<Item = S>) -> Self {
        Self {
            streams: streams.into_iter().map(Into::into).collect(),
            settings: Settings::builder(),
            explicit: ExplicitSettings::default(),
            client: None,
            proxies: None,
            client_id: None,
            #[cfg(feature = "tls")]
            tls: None,
            shared_client: None,
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
        self.client = Some(client);
        self
    }

    /// Writes through a client that any number of writers share: they have its connections, one to
    /// each proxy, instead of some of their own, and [`build`](Self::build) does not wait for any.
    /// For processes with many writers. Default: the writer has connections of its own.
    ///
    /// ```no_run
    /// use distributedlog_tokio::{MultiStreamWriter, ProxyClient};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = ProxyClient::builder()
    ///     .proxies("inet!proxy-1:8000,proxy-2:8000")
    ///     .build()
    ///     .await?;
    /// let mut writers = Vec::new();
    /// for tenant in 0..1_000 {
    ///     let streams = (1..=3).map(|number| format!("tenant-{tenant}-{number}"));
    ///     let builder = MultiStreamWriter::builder(streams).shared_client(client.clone());
    ///     writers.push(builder.build().await?);
    /// }
    /// writers[17].write(b"a record").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// - [`max_in_flight`](ProxyClientBuilder::max_in_flight) and
    ///   [`max_in_flight_bytes`](ProxyClientBuilder::max_in_flight_bytes) of the client hold for
    ///   all its writers together. An attempt beyond waits; writers get room in turn, one attempt
    ///   each. Sets are not hedged while there is no room.
    /// - Its timeouts hold for the writers' attempts if they were set. Otherwise an attempt may
    ///   take until the deadline of its set, as with connections of the writer's own.
    /// - Closing a writer does not close the client. The client's task ends when it is
    ///   [closed](ProxyClient::close), or when its handles and its writers are gone. If it is
    ///   closed before a writer, attempts in flight end as the client's operations do, and the
    ///   writer's other records with [`Reason::Closed`](distributedlog::writer::Reason::Closed).
    /// - [`MultiStreamWriter::client_counters`] are those of the client.
    ///
    /// `build` fails with [`BuildError::SharedClient`] if a setting of the way to the proxies is
    /// given too.
    pub fn shared_client(mut self, client: ProxyClient) -> Self {
        self.shared_client = Some(client);
        self
    }

    /// Returns the settings of the writer and its way to the proxies. Single settings take
    /// precedence.
    ///
    /// # Errors
    ///
    /// [`BuildError::SharedClient`].
    fn effective(self) -> Result<(SettingsBuilder, Connections), BuildError> {
        let settings = self.explicit.apply(self.settings);
        if let Some(client) = self.shared_client {
            let given = [
                ("client", self.client.is_some()),
                ("proxies", self.proxies.is_some()),
                ("client_id", self.client_id.is_some()),
                #[cfg(feature = "tls")]
                ("tls", self.tls.is_some()),
            ];
            if let Some((setting, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(BuildError::SharedClient { setting });
            }
            return Ok((settings, Connections::Shared(client)));
        }
        let mut client = self.client.unwrap_or_else(ProxyClientBuilder::new);
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
        Ok((settings, Connections::Own(Box::new(client))))
    }

    /// Checks the settings, starts the task that does the writer's work on the current runtime, and
    /// waits until a proxy has shaken hands, unless the writer shares a client.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; [`BuildError::NoProxy`] has each host with the reason of its failure.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime with I/O and time enabled.
    pub async fn build(self) -> Result<MultiStreamWriter, BuildError> {
        let (settings, mut transport) = self.connect().await?;
        let client_ended = transport.client_ended();
        let parts = Parts::of(&transport);
        let (writer, work) = parts.writer(settings, transport)?;
        tokio::spawn(run_until(client_ended, parts.last_failure, work));
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
        let (settings, mut transport) = self.connect().await?;
        let client_ended = transport.client_ended();
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
        let work = run_lanes(runners, deliveries);
        tokio::spawn(run_until(client_ended, parts.last_failure, work));
        Ok(KeyedWriter::new(lanes, &names))
    }

    /// Checks the settings and connects.
    async fn connect(self) -> Result<(Settings, ProxyTransport), BuildError> {
        let (streams, identity) = (self.streams.clone(), self.identity);
        let (settings, connections) = self.effective()?;
        let count = StreamCount::new(streams.len()).map_err(BuildError::Writer)?;
        let settings = settings.build().map_err(BuildError::Writer)?;
        settings.check_streams(count).map_err(BuildError::Writer)?;
        let settings = with_randomness(settings, identity)?;
        let transport = match connections {
            Connections::Own(client) => {
                let client = client.or_attempt_timeout(settings.request_timeout());
                ProxyTransport::connect(client, &streams).await?
            }
            Connections::Shared(client) => ProxyTransport::shared(client, &streams)?,
        };
        Ok((settings, transport))
    }
}

/// Runs a writer's work, at most until the client that it shares has ended: then no attempt can
/// succeed any more, and all its records complete.
async fn run_until(
    client_ended: Option<impl Future<Output = ()>>,
    last_failure: LastFailure,
    work: impl Future<Output = ()>,
) {
    let client_ended = async {
        match client_ended {
            Some(client_ended) => client_ended.await,
            None => core::future::pending().await,
        }
    };
    tokio::select! {
        // The work first: outcomes that have arrived are taken.
        biased;
        () = work => {}
        () = client_ended => {
            let failure = Failure::not_sent(Cause::Closed);
            last_failure.set_if_none(RequestError::client_closed(failure));
        }
    }
}

/// Parts that the writers over one transport share.
struct Parts {
    streams: StreamNames,
    clock: TokioClock,
    client: SharedCounters,
    #[cfg(feature = "metrics")]
    shared_client: Option<u64>,
    pool: Option<SharedPool>,
    last_failure: LastFailure,
}

impl Parts {
    fn of(transport: &ProxyTransport) -> Self {
        Self {
            streams: transport.streams(),
            clock: transport.clock(),
            client: transport.counters(),
            #[cfg(feature = "metrics")]
            shared_client: transport.shared_client(),
            pool: transport.own_pool(),
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
            #[cfg(feature = "metrics")]
            shared_client: self.shared_client,
            pool: self.pool.clone(),
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
        let effective = |builder: MultiStreamWriterBuilder| match builder.effective().unwrap() {
            (settings, Connections::Own(client)) => (settings, client),
            (_, Connections::Shared(_)) => unreachable!("no client was given"),
        };
        let (settings, client) = effective(single(all(new())));
        let (other, other_client) = effective(all(single(new())));
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
