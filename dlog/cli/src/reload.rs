use core::convert::Infallible;
use core::fmt;
use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Shutdown;

/// Interval at which files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Files that a server reads again: on SIGHUP, and when they have changed.
///
/// Files are looked at once a second. A change is taken once the files have been the same for two
/// looks, so that one that is being written, or a certificate whose key has not come yet, is not
/// read halfway. Content that cannot be used is logged, and what was read before is kept.
///
/// Bounded: one entry for each flag.
#[derive(Debug, Default)]
pub(crate) struct ReloadedFiles {
    groups: Vec<FileGroup>,
    /// Called at each SIGHUP.
    on_hangup: Vec<OnHangup>,
}

/// Something else that SIGHUP asks for.
struct OnHangup(Box<dyn Fn() + Send>);

/// Reads files again. Returns why they cannot be used.
type Read = Box<dyn Fn() -> Result<(), String> + Send>;

/// Files that are read together.
struct FileGroup {
    /// What they contain.
    what: &'static str,
    files: Vec<PathBuf>,
    read: Read,
    looks: Looks,
}

/// What was seen of a group of files.
#[derive(Debug)]
struct Looks {
    /// State when they were read.
    read: Vec<FileState>,
    /// State at the last look.
    last: Vec<FileState>,
}

/// What tells one content of a file from another without reading it; `None` if it is missing.
type FileState = Option<(u64, SystemTime, u64)>;

impl fmt::Debug for OnHangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnHangup")
    }
}

impl fmt::Debug for FileGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileGroup")
            .field("what", &self.what)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl ReloadedFiles {
    /// Adds files that were just read, and are read together by `read`.
    pub(crate) fn add(
        &mut self,
        what: &'static str,
        files: &[&Path],
        read: impl Fn() -> Result<(), String> + Send + 'static,
    ) {
        self.groups.push(FileGroup {
            what,
            files: files.iter().map(|file| file.to_path_buf()).collect(),
            read: Box::new(read),
            // They were read just now: what changes before the first look must be noticed.
            looks: Looks::new(
                files
                    .iter()
                    .map(|file| state(fs::metadata(file).ok()))
                    .collect(),
            ),
        });
    }

    /// Adds something else to do at each SIGHUP.
    pub(crate) fn on_hangup(&mut self, act: impl Fn() + Send + 'static) {
        self.on_hangup.push(OnHangup(Box::new(act)));
    }

    /// Makes SIGHUP request a reload from now on. Without files it requests a drain, as it does of
    /// other commands, and the result is `None`.
    pub(crate) fn hangups(&self, shutdown: &Shutdown) -> Option<watch::Receiver<u64>> {
        let is_empty = self.groups.is_empty() && self.on_hangup.is_empty();
        (!is_empty).then(|| shutdown.reloads())
    }

    /// Reads the files at each SIGHUP and when they have changed, and calls `counted` with what
    /// they contain and if it could be used. Never completes.
    ///
    /// # Cancel safety
    /// Dropping the future ends the reloading.
    pub(crate) async fn reload_at(
        mut self,
        hangups: Option<watch::Receiver<u64>>,
        counted: impl Fn(&'static str, bool),
    ) -> Infallible {
        let Some(mut hangups) = hangups else {
            return core::future::pending().await;
        };
        let mut looks = tokio::time::interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    for group in &mut self.groups {
                        let states = states(&group.files).await;
                        if group.looks.note(states) {
                            counted(group.what, group.read("a file has changed"));
                        }
                    }
                }
                hangup = hangups.changed() => {
                    if hangup.is_err() {
                        return core::future::pending().await;
                    }
                    self.on_hangup.iter().for_each(|act| (act.0)());
                    for group in &mut self.groups {
                        let states = states(&group.files).await;
                        group.looks.note_read(states);
                        counted(group.what, group.read("SIGHUP"));
                    }
                }
            }
        }
    }
}

impl FileGroup {
    /// Reads the files. Returns true if their content could be used.
    fn read(&self, why: &str) -> bool {
        let read = (self.read)();
        let used = read.is_ok();
        match read {
            Ok(()) => {
                let names: Vec<String> = self
                    .files
                    .iter()
                    .map(|file| file.display().to_string())
                    .collect();
                let names = names.join(" and ");
                tracing::info!("{why}: read the {} in {names} again", self.what);
            }
            Err(error) => tracing::error!(
                "{why}: {error}; this process keeps the former {}",
                self.what
            ),
        }
        used
    }
}

impl Looks {
    fn new(read: Vec<FileState>) -> Self {
        Self {
            last: read.clone(),
            read,
        }
    }

    /// Takes the state at a look. Returns true if the files have changed since they were read, and
    /// have been the same since the last look.
    fn note(&mut self, now: Vec<FileState>) -> bool {
        let changed = self.read != now && self.last == now;
        if changed {
            self.read.clone_from(&now);
        }
        self.last = now;
        changed
    }

    /// Takes the state at which the files are read.
    fn note_read(&mut self, now: Vec<FileState>) {
        self.read.clone_from(&now);
        self.last = now;
    }
}

async fn states(files: &[PathBuf]) -> Vec<FileState> {
    let mut states = Vec::with_capacity(files.len());
    for file in files {
        states.push(state(tokio::fs::metadata(file).await.ok()));
    }
    states
}

fn state(metadata: Option<fs::Metadata>) -> FileState {
    metadata.map(|metadata| {
        let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        (metadata.len(), written, inode(&metadata))
    })
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
const fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn a_change_is_taken_once_it_has_been_the_same_for_two_looks() {
        let state = |size| vec![Some((size, SystemTime::UNIX_EPOCH, 1)), None];
        let mut looks = Looks::new(state(1));
        let taken: Vec<bool> = [1, 1, 2, 3, 3, 3, 1, 1]
            .map(|size| looks.note(state(size)))
            .to_vec();
        assert_eq!(
            taken,
            [false, false, false, false, true, false, false, true]
        );
        looks.note_read(state(9));
        assert!(!looks.note(state(9)), "it was read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_when_it_has_changed_and_counted_also_when_it_cannot_be_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "first").expect("a file");
        let held = Arc::new(Mutex::new("first".to_owned()));
        let (counts, mut counted) = mpsc::unbounded_channel();
        let mut files = ReloadedFiles::default();
        let (path, content) = (file.clone(), Arc::clone(&held));
        let read = move || {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
            if text.contains("bad") {
                return Err("it is bad".to_owned());
            }
            *content.lock().expect("no panic") = text;
            Ok(())
        };
        files.add("content", &[&file], read);
        let count = move |what, used| {
            assert_eq!(what, "content");
            counts.send(used).expect("the test waits");
        };
        let shutdown = Shutdown::manual();
        let hangups = files.hangups(&shutdown);
        let reloading = tokio::spawn(files.reload_at(hangups, count));
        for (content, used) in [("second", true), ("bad one", false), ("the third", true)] {
            // Another inode, as those who replace files atomically make: times may be equal.
            let new = folder.path().join("new");
            std::fs::write(&new, content).expect("a file");
            std::fs::rename(&new, &file).expect("it is there");
            assert_eq!(counted.recv().await, Some(used), "{content}");
            let now = held.lock().expect("no panic").clone();
            assert_eq!(now == content, used, "{now}");
        }
        reloading.abort();
    }
}
