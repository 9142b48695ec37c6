use core::time::Duration;

use std::sync::{Arc, Mutex};

use distributedlog::async_writer::{self, State, WaiterSlot};
use distributedlog::writer::{
    Heap, Identity, Settings, SettingsBuilder, StreamCount, Writer, WriterId,
};

use super::MultiStreamWriter;
use crate::{BuildError, ProxyClientBuilder, ProxyTransport, Tls};

/// Settings of a [`MultiStreamWriter`]; [`build`](Self::build) checks them and connects.
///
/// What a writer does is set by [`settings`](Self::settings), how it reaches its proxies by
/// [`client`](Self::client); the most used of both have a method here.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct MultiStreamWriterBuilder {
    pub(super) streams: Vec<String>,
    pub(super) settings: SettingsBuilder,
    pub(super) client: ProxyClientBuilder,
    pub(super) identity: bool,
}

impl MultiStreamWriterBuilder {
    pub(super) fn new<S: Into<String>>(streams: impl IntoIterator<Item = S>) -> Self {
        Self {
            streams: streams.into_iter().map(Into::into).collect(),
            settings: Settings::builder(),
            client: ProxyClientBuilder::new(),
            identity: true,
        }
    }

    /// Where the proxies are; see [`ProxyClientBuilder::proxies`].
    pub fn proxies(mut self, name: impl Into<String>) -> Self {
        self.client = self.client.proxies(name);
        self
    }

    /// What the proxies are told about who calls; see [`ProxyClientBuilder::client_id`].
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client = self.client.client_id(id);
        self
    }

    /// Encrypts the connections; see [`ProxyClientBuilder::tls`].
    pub fn tls(mut self, tls: Tls) -> Self {
        self.client = self.client.tls(tls);
        self
    }

    /// Bytes at which a record set is transmitted; see [`SettingsBuilder::buffer_size`].
    pub const fn buffer_size(mut self, bytes: usize) -> Self {
        self.settings = self.settings.buffer_size(bytes);
        self
    }

    /// How long the first record of a set waits for company; see
    /// [`SettingsBuilder::flush_interval`].
    pub const fn flush_interval(mut self, interval: Duration) -> Self {
        self.settings = self.settings.flush_interval(interval);
        self
    }

    /// How long after it was accepted a record's write completes at the latest; see
    /// [`SettingsBuilder::request_timeout`].
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.settings = self.settings.request_timeout(timeout);
        self
    }

    /// When a set that was not answered goes to another stream too: after `first`, then after
    /// longer times up to `max`.
    pub const fn speculative_timeouts(mut self, first: Duration, max: Duration) -> Self {
        self.settings = self
            .settings
            .first_speculative_timeout(first)
            .max_speculative_timeout(max);
        self
    }

    /// Whether record sets carry an identity by which readers of several streams tell the copies of
    /// a set (R12): 40 bytes each, where the original's readers skip them. Default: yes, with a
    /// writer id made of 16 random bytes.
    ///
    /// An identity in the [`settings`](Self::settings) is used as it is, whatever this says.
    pub const fn identity(mut self, yes: bool) -> Self {
        self.identity = yes;
        self
    }

    /// Replaces all settings of the writer itself; unless it is called, they are the
    /// [recommended](SettingsBuilder::recommended) ones. Where they give no
    /// [identity](SettingsBuilder::identity), [`identity`](Self::identity) decides.
    pub const fn settings(mut self, settings: SettingsBuilder) -> Self {
        self.settings = settings;
        self
    }

    /// Replaces all settings of how proxies are reached, the name among them.
    pub fn client(mut self, client: ProxyClientBuilder) -> Self {
        self.client = client;
        self
    }

    /// Checks the settings, starts the task that does the writer's work on the current runtime, and
    /// waits until a proxy has shaken hands.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; [`BuildError::NoProxy`] names each host and why it did not do.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime with I/O and time enabled.
    pub async fn build(self) -> Result<MultiStreamWriter, BuildError> {
        let count = StreamCount::new(self.streams.len()).map_err(BuildError::Writer)?;
        let settings = with_randomness(
            self.settings.build().map_err(BuildError::Writer)?,
            self.identity,
        )?;
        let client = self.client.or_attempt_timeout(settings.request_timeout());
        let transport = ProxyTransport::connect(client, &self.streams).await?;
        let client_counters = transport.counters();
        let memory = Heap::new(&settings, count);
        let machine = Writer::new(settings, count, memory)
            .expect("the heap's tables are as large as the settings ask for");
        // One seat for each record, and as many again for tasks that wait for room, for a flush or
        // for the close.
        let waiter_slots: Box<[WaiterSlot]> = (0..2 * settings.pending_records())
            .map(|_| WaiterSlot::EMPTY)
            .collect();
        let state = Arc::new(Mutex::new(State::new(
            machine,
            waiter_slots,
            transport.clock(),
        )));
        let (writer, runner) = async_writer::MultiStreamWriter::new(state, transport);
        tokio::spawn(runner.run());
        let streams = self
            .streams
            .into_iter()
            .map(String::into_boxed_str)
            .collect();
        Ok(MultiStreamWriter {
            writer,
            streams,
            client_counters,
        })
    }
}

/// Fills in what is to be random and was not set. Without randomness the order of the streams is
/// made of the process's number, and sets have no identity: two writers with one id would pass for
/// one, and their records for copies.
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
