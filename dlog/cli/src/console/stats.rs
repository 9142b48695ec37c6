use core::time::Duration;

use distributedlog::writer::{Counters, StreamStatus};
use distributedlog_tokio::ClientCounters;
use serde::Serialize;

use super::super::Format;
use distributedlog_store::StreamName;

/// What a writer did, how its streams do, and what the client behind it did.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    pub(super) writer: Counters,
    pub(super) client: ClientCounters,
    pub(super) streams: Vec<StreamStats>,
}

/// How a stream does.
#[derive(Debug, Serialize)]
pub(crate) struct StreamStats {
    stream: StreamName,
    healthy: bool,
    /// The quantile of its latencies that the settings name, once it is known.
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
    /// As one line of JSON, or, for people, with a line for each figure.
    pub(crate) fn to_text(&self, format: Format) -> String {
        const WHY: &str = "the keys are texts and nothing in it fails to serialize";
        match format {
            Format::Json => serde_json::to_string(self).expect(WHY),
            // JSON without its punctuation: each figure keeps its name, and none is left out when
            // one is added.
            Format::Text => {
                let pretty = serde_json::to_string_pretty(self).expect(WHY);
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
    fn people_get_a_line_for_each_figure() {
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
    fn programs_get_an_object() {
        let value: serde_json::Value =
            serde_json::from_str(&stats().to_text(Format::Json)).expect("it is JSON");
        assert_eq!(
            (&value["writer"]["records"], &value["streams"][0]["healthy"]),
            (&3.into(), &false.into())
        );
        assert_eq!(value["client"]["connects"], 0);
    }
}
