//! Devices that write through the multi stream writer without an operating system: to link them,
//! and to measure their flash, RAM and stack.
#![cfg_attr(target_os = "none", no_std)]

pub mod one_proxy;
mod program;
pub mod trace;
