use std::path::PathBuf;

use super::super::CliError;
#[cfg(not(feature = "zookeeper"))]
use super::super::features;

/// Flags that announce the proxy in ZooKeeper.
#[derive(Debug, clap::Args)]
pub(super) struct AnnounceArgs {
    /// Announce the proxy in this serverset of ZooKeeper, zk!HOST:PORT!/PATH, so that clients find
    /// it by that name
    // The original's takes no value. It is optional here, so that a missing one can be refused with
    // the form of the name.
    #[arg(
        short,
        long,
        value_name = "NAME",
        num_args = 0..=1,
        default_missing_value = "",
        hide = cfg!(not(feature = "zookeeper"))
    )]
    pub(super) announce: Option<String>,

    /// Log in to ZooKeeper (scheme digest) with the line in this file, user:password
    #[arg(
        long,
        value_name = "FILE",
        hide = cfg!(not(feature = "zookeeper"))
    )]
    // Without the feature the refusal says what is missing, not that another flag is.
    #[cfg_attr(feature = "zookeeper", arg(requires = "announce"))]
    pub(super) zookeeper_login: Option<PathBuf>,
}

impl AnnounceArgs {
    /// Checks the flags before anything is opened.
    ///
    /// # Errors
    /// The serverset's name is missing.
    #[cfg(feature = "zookeeper")]
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.announce.as_deref() == Some("") {
            let message = "-a (--announce) needs the name of a serverset: the store of -u uses no \
                           ZooKeeper in which the proxy could find one, as the original does";
            return Err(CliError::usage(message).tip(
                "write it as in -a 'zk!HOST:PORT!/PATH' (with the quotes: the shell reads !)",
            ));
        }
        Ok(())
    }

    /// Refuses the flags: this binary was built without ZooKeeper.
    ///
    /// # Errors
    /// One of the flags was given.
    #[cfg(not(feature = "zookeeper"))]
    pub(super) fn check(&self) -> Result<(), CliError> {
        let flag = if self.announce.is_some() {
            "-a (--announce)"
        } else if self.zookeeper_login.is_some() {
            "--zookeeper-login"
        } else {
            return Ok(());
        };
        Err(features::missing(flag, "zookeeper"))
    }
}
