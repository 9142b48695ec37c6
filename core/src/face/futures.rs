use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::{Face, Permit};
use crate::Shared;
use crate::writer::{AttemptReports, Refused, WriteError, WriteResult};

macro_rules! skeleton {
    ($($name:ident $(<$life:lifetime>)? -> $output:ty: $doc:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Debug)]
        #[must_use = "futures do nothing unless polled"]
        pub struct $name<$($life,)? S: Shared<State: Face>> {
            state: S,
            borrow: PhantomData<($(&$life (),)?)>,
        }

        impl<$($life,)? S: Shared<State: Face>> Future for $name<$($life,)? S> {
            type Output = $output;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let _ = (cx, &self.state);
                todo!()
            }
        }
    )*};
}

skeleton! {
    Write<'a> -> WriteResult: "The future of [`MultiStreamWriter::write`](super::MultiStreamWriter::write).";
    Submit<'a> -> Result<Acknowledgement<S>, WriteError>: "The future of [`MultiStreamWriter::submit`](super::MultiStreamWriter::submit).";
    Acknowledgement -> WriteResult: "The future of an accepted record's result. Dropping it cancels nothing (R14).";
    Reported -> (WriteResult, AttemptReports): "The future of an accepted record's result and of the attempts made for it.";
    Reserve<'a> -> Result<Permit<S>, Refused>: "The future of [`MultiStreamWriter::reserve`](super::MultiStreamWriter::reserve).";
    Flush<'a> -> (): "The future of [`MultiStreamWriter::flush`](super::MultiStreamWriter::flush).";
    Close<'a> -> (): "The future of [`MultiStreamWriter::close`](super::MultiStreamWriter::close).";
}

impl<S: Shared<State: Face>> Acknowledgement<S> {
    /// The same, with the attempts that were made (empty unless the settings keep them).
    pub fn with_attempts(self) -> Reported<S> {
        Reported { state: self.state, borrow: PhantomData }
    }
}
