use super::position::Position;
use super::streams::StreamList;
use super::tail::Tail;
use super::{Fault, Format, Output, Shutdown, namespace, record_text};
use crate::uri::Uri;

/// Print the records of several streams, and go on as they arrive.
///
/// Reads the store, not the proxy. Starts with each stream's last record, as the tutorial's reader does. Ends with Ctrl-C, or after --count
/// records. A store that goes away is waited for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://127.0.0.1:7000/messaging/distributedlog:
  dlog multi-reader $URI basic-stream-3,basic-stream-4
  dlog multi-reader --from oldest --count 5 $URI basic-stream-3
  dlog multi-reader --format json $URI basic-stream-3 | jq .payload

A record set that is damaged is reported on the standard error with its position, and the reading goes on behind it.")]
pub(crate) struct Args {
    /// Where the namespace is served: distributedlog://HOST:PORT/NAMESPACE
    uri: Uri,

    /// The streams, separated by commas
    #[arg(value_name = "STREAM[,STREAM]")]
    streams: StreamList,

    /// Where to start: last (each stream's last record, that one included), oldest, latest (only what is written from now on), or a DLSN
    /// such as 1,0,0
    #[arg(long, value_name = "POSITION", default_value = "last")]
    from: Position,

    /// End after this many records of all streams together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// How to print records
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Reads until the count is reached or the end is asked for.
    ///
    /// # Errors
    /// A stream is missing, the store cannot be reached at the start, or a stream cannot be read any more.
    pub(crate) async fn run(self, output: &Output, shutdown: &Shutdown) -> Result<(), Fault> {
        tokio::select! {
            ended = self.read(output) => ended,
            () = shutdown.asked() => Ok(()),
        }
    }

    async fn read(&self, output: &Output) -> Result<(), Fault> {
        let store = namespace::connect(&self.uri).await?;
        let told = (self.format == Format::Text).then_some(output);
        let mut tail = Tail::open(&store, self.streams.names(), self.from, told, Some(&self.uri)).await?;
        let mut left = self.count;
        while left != Some(0) {
            let (stream, record) = tail.next().await?;
            record_text::print(output, self.format, &stream, &record)?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }
}
