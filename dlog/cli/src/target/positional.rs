use core::str::FromStr;

use super::super::CliError;
use super::super::place::Place;
use super::super::streams::StreamList;
use super::{Target, TargetArgs};
use distributedlog_store::StreamName;

/// Arguments of the original's commands that write and read: a place and streams. The place is left
/// out where --to, the environment or a context names it, and the streams where the context has
/// some: an argument alone is a place if it has `!` or `://`, and names streams otherwise.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PlaceAndStreams {
    /// Where the streams are, as --to has it; left out where --to, DLOG_TO or a context says it
    #[arg(value_name = "WHERE")]
    first: Option<Word>,

    /// The streams, separated by commas; a comma in a name is written \, [default: those of the
    /// context]
    #[arg(value_name = "STREAM[,STREAM]")]
    second: Option<StreamList>,
}

/// The first of two arguments, the first of which may be left out.
#[derive(Clone, Debug)]
enum Word {
    Place(Place),
    Streams(StreamList, Box<str>),
}

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('!') || text.contains("://") {
            return text.parse().map(Self::Place);
        }
        match (text.parse::<Place>(), text.parse()) {
            (Ok(place), Err(_)) => Ok(Self::Place(place)),
            (_, Ok(streams)) => Ok(Self::Streams(streams, text.into())),
            (Err(_), Err(error)) => Err(error.to_string()),
        }
    }
}

impl PlaceAndStreams {
    /// Finds the place and the streams.
    ///
    /// # Errors
    /// The errors of [`TargetArgs::resolve`]; no stream is named; the first of two arguments is no
    /// place.
    pub(crate) fn resolve(
        &self,
        target: &TargetArgs,
    ) -> Result<(Target, Vec<StreamName>), CliError> {
        let (place, streams) = match (&self.first, &self.second) {
            (Some(Word::Place(place)), streams) => (Some(place.clone()), streams.as_ref()),
            (Some(Word::Streams(streams, _)), None) => (None, Some(streams)),
            (Some(Word::Streams(_, text)), Some(streams)) => {
                let place = text.parse::<Place>();
                let place = place.map_err(|error| {
                    CliError::usage(format!("\"{text}\" is not a place: {error}"))
                });
                (Some(place?), Some(streams))
            }
            (None, streams) => (None, streams.as_ref()),
        };
        let target = target.resolve_at(place.as_ref())?;
        let streams = target.streams(streams)?;
        Ok((target, streams))
    }
}
