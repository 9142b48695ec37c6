use super::super::CliError;

/// Flags of the original that have no meaning here. They are parsed so that each can be refused by
/// its name.
#[derive(Debug, clap::Args)]
pub(super) struct OriginalArgs {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    stream_conf: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    stats_provider: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    load_appraiser: Option<String>,
}

impl OriginalArgs {
    /// Refuses each of these flags by its name.
    ///
    /// # Errors
    /// One of them was given.
    pub(super) fn check(&self) -> Result<(), CliError> {
        let refused = [
            (
                &self.stream_conf,
                "-sc (--stream-conf)",
                "streams have no configuration of their own here",
                "leave it out; every setting is a flag, see: dlog proxy --help",
            ),
            (
                &self.stats_provider,
                "-pd (--stats-provider)",
                "it names a Java class; this proxy serves metrics in Prometheus' format",
                "leave it out, and serve metrics with: -sp 8001",
            ),
            (
                &self.load_appraiser,
                "-la (--load-appraiser)",
                "it names a Java class; this proxy bounds the requests and bytes in flight",
                "leave it out",
            ),
        ];
        match refused.into_iter().find(|(given, ..)| given.is_some()) {
            Some((_, flag, reason, tip)) => Err(CliError::usage(format!(
                "{flag} has no meaning for this proxy: {reason}"
            ))
            .tip(tip)),
            None => Ok(()),
        }
    }
}
