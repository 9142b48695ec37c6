//! Command lines: their help, and the errors of invalid ones.

mod features;
mod help;
mod usage;
