use std::path::PathBuf;

use distributedlog_store::uri::Uri;

use super::super::CliError;
#[cfg(not(feature = "zookeeper"))]
use super::super::features;
use super::super::target::serverset_of;

/// Flags that announce the proxy in ZooKeeper.
#[derive(Debug, clap::Args)]
pub(super) struct AnnounceArgs {
    /// Announce the proxy in this serverset of ZooKeeper, zk!HOST:PORT!/PATH, so that clients find
    /// it by that name; without NAME, as in the original, in .write_proxy of a namespace on
    /// BookKeeper
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
    /// The serverset's name is missing, and `uri` is not that of a namespace.
    #[cfg(feature = "zookeeper")]
    pub(super) fn check(&self, uri: Option<&Uri>) -> Result<(), CliError> {
        match (self.announce.as_deref(), uri) {
            (Some(""), None) => Err(missing("--data")),
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Returns the name of the serverset to announce the proxy in, if the flags ask for it.
    ///
    /// # Errors
    /// Its name is missing, and the store of `uri` has no ZooKeeper.
    pub(super) fn serverset(
        &self,
        uri: Option<&Uri>,
        is_bookkeeper: bool,
    ) -> Result<Option<String>, CliError> {
        match (self.announce.as_deref(), uri) {
            (None, _) => Ok(None),
            (Some(""), Some(uri)) if is_bookkeeper => Ok(Some(serverset_of(uri))),
            (Some(""), _) => Err(missing("-u")),
            (Some(name), _) => Ok(Some(name.to_owned())),
        }
    }

    /// Refuses the flags: this binary was built without ZooKeeper.
    ///
    /// # Errors
    /// One of the flags was given.
    #[cfg(not(feature = "zookeeper"))]
    pub(super) fn check(&self, _: Option<&Uri>) -> Result<(), CliError> {
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

/// Refuses the flag without a value.
fn missing(store: &str) -> CliError {
    let message = format!(
        "-a (--announce) needs the name of a serverset: the store of {store} uses no ZooKeeper in \
         which the proxy could find one, as the original does"
    );
    CliError::usage(message)
        .tip("write it as in -a 'zk!HOST:PORT!/PATH' (with the quotes: the shell reads !)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serverset(announce: Option<&str>, is_bookkeeper: bool) -> Result<Option<String>, String> {
        let args = AnnounceArgs {
            announce: announce.map(str::to_owned),
            zookeeper_login: None,
        };
        let uri = "distributedlog://zk-1:2181,zk-2:2181/messaging/dl".parse();
        args.serverset(Some(&uri.expect("a URI")), is_bookkeeper)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_proxy_without_a_name_is_announced_below_its_namespace_on_bookkeeper() {
        assert_eq!(serverset(None, true), Ok(None));
        assert_eq!(
            serverset(Some(""), true),
            Ok(Some(
                "zk!zk-1:2181,zk-2:2181!/messaging/dl/.write_proxy".to_owned()
            ))
        );
        let error = serverset(Some(""), false).expect_err("there is no ZooKeeper");
        assert!(
            error.contains("the store of -u uses no ZooKeeper"),
            "{error}"
        );
        assert_eq!(
            serverset(Some("zk!h!/p"), false),
            Ok(Some("zk!h!/p".to_owned()))
        );
    }
}
