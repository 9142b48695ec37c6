//! The machine by itself: scripts of what happens and what it wants done, and simulations of whole
//! lives.

mod bench;
mod dedup;
mod scripts;
mod simulation;
