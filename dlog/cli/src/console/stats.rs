use core::time::Duration;

use distributedlog::writer::{Counters, StreamStatus};
use distributedlog_tokio::ClientCounters;
use serde::Serialize;

use super::super::Format;
use distributedlog_store::StreamName;

/// Counters of a writer and of its client, and the state of its streams.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    pub(super) writer: Counters,
    pub(super) client: ClientCounters,
    pub(super) streams: Vec<StreamStats>,
}

/// State and counters of a stream.
#[derive(Debug, Serialize)]
pub(crate) struct StreamStats {
    stream: StreamName,
    healthy: bool,
    /// The quantile of the latencies that the settings name; `None` until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
    attempts: u64,
    won: u64,
    failed: u64,
    given_up: u64,
}

impl StreamStats {
    pub(super) fn new(stream: StreamName, status: &StreamStatus) -> Self {
        let StreamStatus {
            healthy,
            latency,
            counters,
            ..
        } = *status;
        let latency_us =
            latency.map(|latency: Duration| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        Self {
            stream,
            healthy,
            latency_us,
            attempts: counters.attempts,
            won: counters.won,
            failed: counters.failed,
            given_up: counters.given_up,
        }
    }
}

impl Stats {
    /// Formats the counters as one line of JSON, or as text with a line for each counter.
    pub(crate) fn to_text(&self, format: Format) -> String {
        const PROOF: &str = "the keys are texts and nothing in it fails to serialize";
        match format {
            Format::Json => serde_json::to_string(self).expect(PROOF),
            // JSON without its punctuation: a counter that is added later is printed, with its
            // name.
            Format::Text => {
                let pretty = serde_json::to_string_pretty(self).expect(PROOF);
                let lines = pretty
                    .lines()
                    .map(|line| line.replace(['"', ',', '{', '}', '[', ']'], ""));
                let lines: Vec<String> = lines.filter(|line| !line.trim().is_empty()).collect();
                lines.join("\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> Stats {
        let mut writer = Counters::default();
        (writer.records, writer.hedges_won) = (3, 1);
        let stream = StreamStats {
            stream: StreamName::new("s").expect("a name"),
            healthy: false,
            latency_us: Some(1_500),
            attempts: 4,
            won: 2,
            failed: 1,
            given_up: 1,
        };
        Stats {
            writer,
            client: ClientCounters::default(),
            streams: vec![stream],
        }
    }

    #[test]
    fn the_text_has_a_line_for_each_counter() {
        let text = stats().to_text(Format::Text);
        for line in [
            "  writer: ",
            "    records: 3",
            "    hedges_won: 1",
            "    redirects: 0",
            "      stream: s",
            "      latency_us: 1500",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no {line:?} in\n{text}"
            );
        }
    }

    #[test]
    fn json_is_one_object() {
        let value: serde_json::Value =
            serde_json::from_str(&stats().to_text(Format::Json)).expect("it is JSON");
        assert_eq!(
            (&value["writer"]["records"], &value["streams"][0]["healthy"]),
            (&3.into(), &false.into())
        );
        assert_eq!(value["client"]["connects"], 0);
    }
}
