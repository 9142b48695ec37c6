//! Clusters that the tests of one binary share.

use core::future::Future;
use std::sync::LazyLock;

use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::cluster::Cluster;
use crate::java::Version;

/// The runtime of the clusters and of the tests that share them: a test's own would end with it.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new().expect("the system has threads"));

static V4_5: OnceCell<Cluster> = OnceCell::const_new();
static V4_17: OnceCell<Cluster> = OnceCell::const_new();

/// Runs a test on the cluster of this version that all such tests share. It must do the servers no
/// harm, and choose names of its own. The servers end when the process does.
pub fn on_shared<'a, F: Future<Output = ()>>(
    version: Version,
    test: impl FnOnce(&'a Cluster) -> F,
) {
    let cell = match version {
        Version::V4_5 => &V4_5,
        Version::V4_17 => &V4_17,
    };
    RUNTIME.block_on(async {
        let cluster = cell.get_or_init(|| Cluster::start(version)).await;
        let _logs = LogsOnFailure(cluster);
        test(cluster).await;
    });
}

/// Prints the servers' logs when the test panics.
struct LogsOnFailure<'a>(&'a Cluster);

impl Drop for LogsOnFailure<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.print_logs();
        }
    }
}
