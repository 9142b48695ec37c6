use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

/// Waits for all futures and returns their outputs in order, so that requests are in flight at the
/// same time. The caller bounds their number.
pub(crate) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Option<Pin<Box<F>>>> =
        futures.into_iter().map(|it| Some(Box::pin(it))).collect();
    let mut outputs: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut is_ready = true;
        for (slot, output) in running.iter_mut().zip(&mut outputs) {
            let Some(future) = slot else {
                continue;
            };
            match future.as_mut().poll(cx) {
                Poll::Ready(done) => {
                    *output = Some(done);
                    *slot = None;
                }
                Poll::Pending => is_ready = false,
            }
        }
        if is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// Waits for the first of two futures.
pub(crate) async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => second.as_mut().poll(cx),
    })
    .await
}
