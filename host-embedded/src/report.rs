//! What the client does, for the application's log.

/// Reports an event with the features `log` and `defmt`, and is nothing without them. The values
/// are numbers and texts, which both can print.
macro_rules! report {
    ($level:ident, $text:literal $(, $value:expr)*) => {{
        #[cfg(feature = "log")]
        log::$level!($text $(, $value)*);
        #[cfg(feature = "defmt")]
        defmt::$level!($text $(, $value)*);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        {
            $(let _ = &$value;)*
        }
    }};
}

pub(crate) use report;
