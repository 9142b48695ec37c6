//! Command lines as people type them: the help that they get, and what is said of the ones that
//! cannot mean anything.

mod features;
mod help;
mod usage;
