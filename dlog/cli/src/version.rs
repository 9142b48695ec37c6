//! The text of `dlog --version`.

use std::sync::LazyLock;

/// Features that can be left out, and whether they are here.
const FEATURES: [(&str, bool); 4] = [
    ("bookkeeper", cfg!(feature = "bookkeeper")),
    ("page", cfg!(feature = "page")),
    ("plots", cfg!(feature = "plots")),
    ("zookeeper", cfg!(feature = "zookeeper")),
];

static LONG: LazyLock<String> = LazyLock::new(|| {
    let here = |(name, is_here): &(&'static str, bool)| is_here.then_some(*name);
    let features: Vec<&str> = FEATURES.iter().filter_map(here).collect();
    let commit = match env!("DLOG_COMMIT") {
        "" => "not built from a repository",
        commit => commit,
    };
    let features = match &features[..] {
        [] => "none".to_owned(),
        features => features.join(", "),
    };
    format!(
        "{}\ncommit: {commit}\nfeatures: {features}\ntarget: {} {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
});

/// Returns the version, the commit and the features, a line each.
pub(crate) fn long() -> &'static str {
    &LONG
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_long_version_names_the_commit_and_the_features() {
        let text = super::long();
        assert!(text.starts_with(env!("CARGO_PKG_VERSION")), "{text}");
        assert!(
            text.contains("\ncommit: ") && text.contains("\nfeatures: "),
            "{text}"
        );
        assert_eq!(text.contains("plots"), cfg!(feature = "plots"), "{text}");
    }
}
