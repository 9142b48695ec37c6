//! Reports of the machines for the application's log.

/// Reports an event with the features `log` and `defmt` of the crate that uses it, and is nothing
/// without them. The values are numbers and texts, which both can print.
#[doc(hidden)]
#[macro_export]
macro_rules! report {
    ($level:ident, $text:literal $(, $value:expr)* $(,)?) => {{
        #[cfg(feature = "log")]
        log::$level!($text $(, $value)*);
        #[cfg(feature = "defmt")]
        defmt::$level!($text $(, $value)*);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        if false {
            $(let _ = &$value;)*
        }
    }};
}
