//! The original's configuration files: `dlog proxy -c FILE`.

// Without BookKeeper some of the flags do not exist.
#[cfg(all(test, feature = "bookkeeper"))]
mod documented;
mod keys;
mod parse;
mod table;

use core::time::Duration;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use distributedlog::settings::SettingValue;

use super::super::CliError;
use super::effective::Target;
use keys::{Key, Meaning, Needs, Off, Sets, Unit};
use parse::Property;

/// Time that stands for no limit: the largest that an age may have.
const YEAR: Duration = Duration::from_secs(8760 * 3600);

/// A file, and what becomes of its keys.
#[derive(Debug)]
pub(super) struct Configuration {
    file: PathBuf,
    /// Settings, each with its property.
    pub(super) changes: Vec<Change>,
    /// Keys without an effect, with the reasons, and unknown ones.
    notes: Vec<Note>,
}

/// A setting that the file sets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) target: Target,
    /// Value, or `None` for the default.
    pub(super) value: Option<SettingValue>,
    property: Property,
}

/// A key that sets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Note {
    Ignored {
        line: usize,
        key: String,
        reason: String,
    },
    Unknown {
        line: usize,
        key: String,
        nearest: Option<&'static str>,
    },
}

impl Configuration {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read or parsed, or a value of it does not fit.
    pub(super) fn read(file: &Path) -> Result<Self, CliError> {
        let failed = |error: &dyn core::fmt::Display| {
            CliError::failure(format!("cannot read {}: {error}", file.display()))
        };
        let opened = std::fs::File::open(file).map_err(|error| failed(&error))?;
        let mut bytes = Vec::new();
        let read = opened.take(parse::MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(&error))?;
        if bytes.len() as u64 > parse::MAX_BYTES {
            return Err(failed(&"it has more than 1 MiB"));
        }
        let text = String::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8"))?;
        Self::of(file, &text)
    }

    /// Interprets the text of a file.
    pub(super) fn of(file: &Path, text: &str) -> Result<Self, CliError> {
        let properties = parse::parse(text).map_err(|error| {
            CliError::usage(format!("{}:{}: {error}", file.display(), error.line))
        })?;
        let mut this = Self {
            file: file.to_owned(),
            changes: Vec::new(),
            notes: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for property in &properties {
            let (line, key) = (property.line, property.key.clone());
            let Some(known) = keys::find(&key) else {
                let nearest = keys::nearest(&key);
                if seen.insert(key.clone()) {
                    this.notes.push(Note::Unknown { line, key, nearest });
                }
                continue;
            };
            // Families of keys are many keys; others are one in all their spellings.
            let is_family = !known.names.contains(&property.key.as_str());
            let name = known.names.first().filter(|_| !is_family);
            if !seen.insert(name.map_or_else(|| key.clone(), |it| (*it).to_owned())) {
                let reason = "an earlier line has it already, which holds".to_owned();
                this.notes.push(Note::Ignored { line, key, reason });
                continue;
            }
            this.take(known, property, &properties)?;
        }
        Ok(this)
    }

    fn take(&mut self, known: &Key, property: &Property, all: &[Property]) -> Result<(), CliError> {
        let mut note = |reason: String| {
            self.notes.push(Note::Ignored {
                line: property.line,
                key: property.key.clone(),
                reason,
            });
        };
        match known.meaning {
            Meaning::Ignored(reason) => note(reason.to_owned()),
            Meaning::Only(values, reason) => {
                if !values
                    .iter()
                    .any(|it| it.eq_ignore_ascii_case(&property.value))
                {
                    let valid: Vec<String> = values.iter().map(|it| format!("{it:?}")).collect();
                    let valid = valid.join(" or ");
                    return Err(self.refuse(property, &format!("it must be {valid}: {reason}")));
                }
            }
            Meaning::Sets(sets) => {
                if let Some(needs) = sets.needs.filter(|it| !it.are_met(all)) {
                    let Needs { key, value, .. } = needs;
                    note(format!("it has an effect only with {key}={value}"));
                    return Ok(());
                }
                let value = value_of(&sets, &property.value)
                    .map_err(|valid| self.refuse(property, &format!("it must be {valid}")))?;
                self.changes.push(Change {
                    target: sets.target,
                    value,
                    property: property.clone(),
                });
            }
        }
        Ok(())
    }

    /// Logs what has no effect.
    pub(super) fn log(&self) {
        let file = self.file.display();
        for note in &self.notes {
            match note {
                Note::Ignored { line, key, reason } => {
                    tracing::info!("{file}:{line}: {key} has no effect: {reason}");
                }
                Note::Unknown {
                    line,
                    key,
                    nearest: None,
                } => tracing::warn!("{file}:{line}: {key} is not known"),
                Note::Unknown {
                    line,
                    key,
                    nearest: Some(nearest),
                } => tracing::warn!("{file}:{line}: {key} is not known; did you mean {nearest}?"),
            }
        }
    }

    /// Returns the error about a setting that this file has set: `rest` says what it must be.
    pub(super) fn refused(&self, target: Target, rest: &str) -> Option<CliError> {
        let change = self.changes.iter().find(|it| it.target == target)?;
        Some(self.refuse(&change.property, rest))
    }

    /// Returns the error about a number that its setting cannot hold.
    pub(super) fn too_large(&self, change: &Change) -> CliError {
        self.refuse(&change.property, "it is too large")
    }

    /// Returns true if the file sets something of BookKeeper.
    pub(super) fn is_of_bookkeeper(&self) -> bool {
        let is_of = |it: &Change| matches!(it.target, Target::BookKeeper(_));
        self.changes.iter().any(is_of)
    }

    /// Describes where a setting comes from.
    pub(super) fn origin(&self, change: &Change) -> String {
        let Property { line, key, .. } = &change.property;
        format!("{}:{line} ({key})", self.file.display())
    }

    fn refuse(&self, property: &Property, rest: &str) -> CliError {
        let Property { line, key, value } = property;
        CliError::usage(format!(
            "{}:{line}: {key} is {value:?}; {rest}",
            self.file.display()
        ))
    }
}

impl Needs {
    fn are_met(&self, all: &[Property]) -> bool {
        let found = all.iter().find(|it| it.key == self.key);
        let value = found.map_or(self.default, |it| it.value.as_str());
        value.eq_ignore_ascii_case(self.value)
    }
}

/// Converts the value of a key, or returns what is valid.
fn value_of(sets: &Sets, text: &str) -> Result<Option<SettingValue>, String> {
    match sets.off {
        Some((off, Off::Default)) if off == text => return Ok(None),
        Some((off, Off::None)) if off == text => return Ok(Some(SettingValue::Word("none"))),
        Some((off, Off::Year)) if off == text => return Ok(Some(SettingValue::Time(YEAR))),
        Some(_) | None => {}
    }
    let (what, seconds) = match sets.unit {
        Unit::Switch => {
            return match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Ok(Some(SettingValue::Switch(true))),
                "false" | "no" | "off" => Ok(Some(SettingValue::Switch(false))),
                _ => Err("true or false".to_owned()),
            };
        }
        Unit::Codec => {
            return match text.to_ascii_lowercase().as_str() {
                "none" => Ok(Some(SettingValue::Switch(false))),
                "lz4" => Ok(Some(SettingValue::Switch(true))),
                _ => Err("none or lz4".to_owned()),
            };
        }
        Unit::Count => ("a number", None),
        Unit::Millis => ("a number of milliseconds", Some(Duration::from_millis(1))),
        Unit::Seconds => ("a number of seconds", Some(Duration::from_secs(1))),
        Unit::Minutes => ("a number of minutes", Some(Duration::from_secs(60))),
        Unit::Hours => ("a number of hours", Some(Duration::from_secs(3600))),
    };
    let or_off = sets
        .off
        .map_or_else(String::new, |(off, _)| format!(", or {off}"));
    let valid = || format!("{what} that is not negative{or_off}");
    let number: u64 = text.parse().map_err(|_| valid())?;
    let Some(unit) = seconds else {
        return Ok(Some(SettingValue::Count(number)));
    };
    // Beyond 2^32 hours no setting takes it, and Java's numbers end.
    let number = u32::try_from(number).map_err(|_| format!("{} below 4294967296", valid()))?;
    Ok(Some(SettingValue::Time(unit * number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Configuration, String> {
        Configuration::of(Path::new("x.conf"), text).map_err(|error| error.to_string())
    }

    fn value(text: &str) -> Option<SettingValue> {
        let configuration = of(text).expect("it is valid");
        let [change] = &configuration.changes[..] else {
            panic!("{text}: {:?}", configuration.changes);
        };
        change.value
    }

    #[test]
    fn values_are_converted_by_their_units() {
        let time = |seconds| Some(SettingValue::Time(Duration::from_secs(seconds)));
        for (text, expected) in [
            ("ensemble-size=5", Some(SettingValue::Count(5))),
            ("bkcEnsembleSize: 5", Some(SettingValue::Count(5))),
            ("compressionType=lz4", Some(SettingValue::Switch(true))),
            ("compressionType=NONE", Some(SettingValue::Switch(false))),
            ("rolling-interval=120", time(7200)),
            ("rolling-interval=0", Some(SettingValue::Time(YEAR))),
            ("retention-size=4", time(4 * 3600)),
            ("retention-size=0", Some(SettingValue::Word("none"))),
            ("zkSessionTimeoutSeconds=1", time(1)),
            ("serviceTimeoutMs=0", None),
            ("output-buffer-size=0", None),
            ("maxAcquiredPartitionsPerProxy=-1", None),
            (
                "createStreamIfNotExists=false",
                Some(SettingValue::Switch(false)),
            ),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused_with_file_line_key_and_value() {
        for (text, error) in [
            (
                "\nensemble-size=many",
                "x.conf:2: ensemble-size is \"many\"; it must be a number that is not negative",
            ),
            (
                "retention-size=-3",
                "x.conf:1: retention-size is \"-3\"; it must be a number of hours that is not \
                 negative, or 0",
            ),
            (
                "compressionType=zstd",
                "x.conf:1: compressionType is \"zstd\"; it must be none or lz4",
            ),
            (
                "isDurableWriteEnabled=false",
                "x.conf:1: isDurableWriteEnabled is \"false\"; it must be \"true\": a record is \
                 acknowledged when its bookies have it on disk, and never before",
            ),
            (
                "include=y",
                "x.conf:1: files that include others are not read",
            ),
        ] {
            let refused = of(text).expect_err(text);
            assert!(refused.starts_with(error), "{refused}");
        }
        for text in [
            "server_mode=NONDURABLE",
            "federatedNamespaceEnabled=true",
            "digestPw=secret",
            "bkc.ensemblePlacementPolicy=org.apache.bookkeeper.client.\
             RegionAwareEnsemblePlacementPolicy",
        ] {
            of(text).expect_err(text);
        }
    }

    #[test]
    fn keys_without_an_effect_are_noted_once_with_their_reason() {
        let text = "numWorkerThreads=3\nbkc.x=1\nbkc.y=2\nensemble-size=3\nbkcEnsembleSize=4\n\
                    perWriterOutstandingWriteLimit=9\nensembleSize=1\nensembleSize=2\n\
                    explicitTruncationByApp=true\nretention-size=3";
        let configuration = of(text).expect("it is valid");
        let targets: Vec<Target> = configuration.changes.iter().map(|it| it.target).collect();
        assert_eq!(targets, [Target::BookKeeper("ensemble_size")]);
        let notes: Vec<(usize, bool)> = configuration
            .notes
            .iter()
            .map(|note| match note {
                Note::Ignored { line, .. } => (*line, true),
                Note::Unknown { line, .. } => (*line, false),
            })
            .collect();
        let expected = [
            (1, true),
            (2, true),
            (3, true),
            (5, true),
            (6, true),
            (7, false),
            (10, true),
        ];
        assert_eq!(notes, expected);
    }

    /// The values of the original's own `write_proxy.conf`.
    #[test]
    fn the_originals_own_file_is_read() {
        let text = "zkSessionTimeoutSeconds=1\nbkcWriteTimeoutSeconds=2\nledger-metadata-layout=5\n\
                    lockTimeoutSeconds=0\nenableLedgerAllocatorPool=true\n\
                    ledgerAllocatorPoolPath=.write_proxy_allocation_pool\n\
                    encodeDCIDInVersion=true\nlogSegmentNameVersion=1\nensemble-size=3\n\
                    write-quorum-size=3\nack-quorum-size=2\nbkc.ensemblePlacementPolicy=org.\
                    apache.bookkeeper.client.RackawareEnsemblePlacementPolicy\n\
                    enableImmediateFlush=true\noutput-buffer-size=0\nretention-size=4\n\
                    rolling-interval=120\nmaxLogSegmentBytes=2147483648\ncompressionType=lz4\n\
                    server_mode=DURABLE\nserviceTimeoutMs=60000\nserver_dlsn_version=1\n\
                    perWriterOutstandingWriteLimit=-1\noutstandingWriteLimitDarkmode=false\n\
                    bpsHardServiceLimit=52428800\nmaxAcquiredPartitionsPerProxy=-1";
        let configuration = of(text).expect("it is valid");
        assert_eq!(configuration.changes.len(), 13);
        let is_known = |note: &Note| matches!(note, Note::Ignored { .. });
        assert!(configuration.notes.iter().all(is_known));
    }
}
