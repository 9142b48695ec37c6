//! Refusals of flags and names that need a cargo feature which this binary was built without.

use super::CliError;

/// Returns the usage error for `flag`, which needs the cargo feature `feature`.
#[must_use]
pub(crate) fn missing(flag: &str, feature: &str) -> CliError {
    CliError::usage(format!(
        "{flag} needs the feature `{feature}`, which this dlog was built without"
    ))
    .tip(format!(
        "build dlog with: cargo build --release -p dlog --features {feature}"
    ))
}

/// Refuses a name of proxies that is looked up in ZooKeeper.
///
/// # Errors
/// `name` begins with `zk!` or `serverset!`.
#[cfg(not(feature = "zookeeper"))]
pub(crate) fn check_proxies_name(name: &str) -> Result<(), CliError> {
    match name.split_once('!') {
        Some((scheme @ ("zk" | "serverset"), _)) => Err(missing(
            &format!("a name that begins with {scheme}!"),
            "zookeeper",
        )),
        Some(_) | None => Ok(()),
    }
}
