//! Work that outlives the connection that asked for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that, when it is dropped before it is done, goes on by itself. While its connection lives it costs no task of its own.
pub(crate) struct Detached<F: Future + Send + 'static>(Option<Pin<Box<F>>>);

/// Makes a future outlive whoever waits for it.
pub(crate) fn detached<F>(future: F) -> Detached<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    Detached(Some(Box::pin(future)))
}

impl<F> Future for Detached<F>
where
    F: Future + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let done = std::task::ready!(future.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<F: Future + Send + 'static> Drop for Detached<F> {
    fn drop(&mut self) {
        if let (Some(future), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                future.await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_when_nobody_waits() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let mut work = detached(async move {
            let _ = gone.await;
            let _ = sender.send(7);
        });
        let pending = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut work).poll(cx).is_pending())).await;
        assert!(pending);
        drop(work);
        go.send(()).unwrap();
        assert_eq!(receiver.await, Ok(7));
    }
}
