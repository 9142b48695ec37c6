//! Devices that write through the multi stream writer with nothing below them: for linking, and for
//! the figures of flash, RAM and stack.
#![cfg_attr(target_os = "none", no_std)]

pub mod one_proxy;
mod program;
pub mod trace;
