//! Meaning of the keys of the original's configuration files.

use super::super::effective::Target;
use super::table::KEYS;

/// A key, or several that mean the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Spellings, the current one first. One that ends with `*` stands for all keys that begin so.
    pub(super) names: &'static [&'static str],
    /// Meaning here.
    pub(super) meaning: Meaning,
}

/// Meaning of a key here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    /// It sets a setting.
    Sets(Sets),
    /// It has no effect, for this reason.
    Ignored(&'static str),
    /// It must have one of these values, for this reason.
    Only(&'static [&'static str], &'static str),
}

/// A key that sets a setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sets {
    /// Setting.
    pub(super) target: Target,
    /// Unit of the value.
    pub(super) unit: Unit,
    /// Value that switches the setting off, and the setting's value then.
    pub(super) off: Option<(&'static str, Off)>,
    /// Other key that must have a value, with its default; else this one has no effect.
    pub(super) needs: Option<Needs>,
}

/// Condition of a key: another key, the value that it must have, and its default.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    pub(super) key: &'static str,
    pub(super) value: &'static str,
    pub(super) default: &'static str,
}

/// Unit of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Millis,
    Seconds,
    Minutes,
    Hours,
    Switch,
    /// `none` or `lz4`.
    Codec,
}

/// Value of a setting that a key switches off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Off {
    /// The default here.
    Default,
    /// No limit.
    None,
    /// The largest time that the setting takes: a year.
    Year,
}

pub(super) const fn sets(names: &'static [&'static str], target: Target, unit: Unit) -> Key {
    Key {
        names,
        meaning: Meaning::Sets(Sets {
            target,
            unit,
            off: None,
            needs: None,
        }),
    }
}

pub(super) const fn sets_or(
    names: &'static [&'static str],
    target: Target,
    unit: Unit,
    off: (&'static str, Off),
    needs: Option<Needs>,
) -> Key {
    Key {
        names,
        meaning: Meaning::Sets(Sets {
            target,
            unit,
            off: Some(off),
            needs,
        }),
    }
}

pub(super) const fn ignored(names: &'static [&'static str], reason: &'static str) -> Key {
    Key {
        names,
        meaning: Meaning::Ignored(reason),
    }
}

pub(super) const fn only(
    names: &'static [&'static str],
    values: &'static [&'static str],
    reason: &'static str,
) -> Key {
    Key {
        names,
        meaning: Meaning::Only(values, reason),
    }
}

/// Returns the key of this name: the one that is spelled so, or else the first that begins so.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let exact = KEYS.iter().find(|key| key.names.contains(&name));
    let begins = |key: &&Key| {
        let mut prefixes = key.names.iter().filter_map(|it| it.strip_suffix('*'));
        prefixes.any(|prefix| name.starts_with(prefix))
    };
    exact.or_else(|| KEYS.iter().find(begins))
}

/// Returns the known name that is nearest to an unknown one, if one is near.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let names = KEYS.iter().flat_map(|key| key.names);
    let names = names.filter(|it| !it.ends_with('*'));
    let measured = names.map(|it| (distance(&it.to_lowercase(), &name.to_lowercase()), *it));
    let (distance, nearest) = measured.min()?;
    // A third of the letters may differ.
    (distance * 3 <= name.len()).then_some(nearest)
}

/// Number of characters to insert, remove or replace between two texts. Names are short: the second
/// one counts up to 64 characters.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use distributedlog::settings::NamedSettings as _;
    use distributedlog_proxy::Settings;
    #[cfg(feature = "bookkeeper")]
    use distributedlog_store::bookkeeper::BookKeeperSettings;

    use super::*;

    #[test]
    fn each_name_is_there_once_and_sets_a_setting_that_exists() {
        let mut names = BTreeSet::new();
        for key in KEYS {
            for name in key.names {
                assert!(names.insert(*name), "{name} is there twice");
            }
            let Meaning::Sets(sets) = key.meaning else {
                continue;
            };
            let exists = match sets.target {
                #[cfg(not(feature = "bookkeeper"))]
                Target::BookKeeper(_) => true,
                #[cfg(feature = "bookkeeper")]
                Target::BookKeeper(row) => BookKeeperSettings::default().value(row).is_some(),
                Target::Proxy(row) => Settings::builder().value(row).is_some(),
                Target::Port | Target::Shard => true,
            };
            assert!(exists, "{:?}", sets.target);
        }
    }

    #[test]
    fn a_name_is_found_by_itself_by_its_beginning_or_near_another() {
        assert_eq!(
            find("bkc.delayEnsembleChange").map(|it| it.names.len()),
            Some(1)
        );
        assert_eq!(
            find("bkc.anything").map(|it| it.names),
            Some(&["bkc.*"][..])
        );
        assert!(find("bkcEnsembleSise").is_none());
        assert_eq!(nearest("bkcEnsembleSise"), Some("bkcEnsembleSize"));
        assert_eq!(nearest("ENSEMBLE-SIZE"), Some("ensemble-size"));
        assert_eq!(nearest("somethingElse"), None);
    }
}
