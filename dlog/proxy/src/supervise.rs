use core::any::Any;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::time::Duration;

use futures_util::FutureExt;

/// Pause before a task that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Runs a task of the proxy, again if it panics: a bug in one request must not leave all others
/// unanswered.
pub(super) async fn keep_running<F: Future<Output = ()>>(
    task: &'static str,
    mut start: impl FnMut() -> F,
) {
    while let Err(panic) = AssertUnwindSafe(start()).catch_unwind().await {
        tracing::error!(
            task,
            panic = panic_text(&*panic),
            "a bug ended a task; restarting it"
        );
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

/// Returns the text of a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}
