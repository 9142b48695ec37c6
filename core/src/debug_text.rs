/// Implements `Debug` of an error as its `Display`: a `main` that returns the error prints the one,
/// and a person reads the other.
///
/// Exported for the crates of this workspace. It is not part of the interface: it may change in any
/// version.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_is_display {
    ($($error:ty),+ $(,)?) => {$(
        impl core::fmt::Debug for $error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    )+};
}
