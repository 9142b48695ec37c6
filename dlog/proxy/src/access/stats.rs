use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters of what was refused, and of files that were read again.
#[derive(Debug)]
pub(crate) struct AccessStats {
    refused: Family<RefusedLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    operation: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    file: &'static str,
    outcome: &'static str,
}

impl AccessStats {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let stats = Self {
            refused: Family::default(),
            reloads: Family::default(),
        };
        registry.register(
            "access_refused",
            "Requests refused because of who their client is, by operation and reason",
            stats.refused.clone(),
        );
        registry.register(
            "reloads",
            "Files of tokens, certificates and rules read again, by file and outcome",
            stats.reloads.clone(),
        );
        stats
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, operation: &'static str, reason: &'static str) {
        let labels = RefusedLabels { operation, reason };
        self.refused.get_or_create(&labels).inc();
    }

    /// Counts a file that was read again, and whether its content could be used.
    pub(crate) fn reloaded(&self, file: &'static str, used: bool) {
        let outcome = if used { "used" } else { "refused" };
        self.reloads
            .get_or_create(&ReloadLabels { file, outcome })
            .inc();
    }
}
