//! Parts that can be left out when dlog is built, and the message for a flag that needs one of them.

use super::Fault;

/// Refuses `flag`, which needs a cargo feature that this binary was built without.
#[must_use]
pub(crate) fn missing(flag: &str, feature: &str) -> Fault {
    Fault::usage(format!(
        "{flag} needs the feature `{feature}`, which this dlog was built without"
    ))
    .tip(format!(
        "build dlog with: cargo build --release -p dlog --features {feature}"
    ))
}

/// Refuses a name that is looked up in ZooKeeper, if this binary was built without it.
///
/// # Errors
/// `name` begins with `zk!` or `serverset!`, and the feature `zookeeper` is missing.
#[cfg(not(feature = "zookeeper"))]
pub(crate) fn check_proxies_name(name: &str) -> Result<(), Fault> {
    match name.split_once('!') {
        Some((scheme @ ("zk" | "serverset"), _)) => Err(missing(
            &format!("a name that begins with {scheme}!"),
            "zookeeper",
        )),
        Some(_) | None => Ok(()),
    }
}
