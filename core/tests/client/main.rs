//! The write proxy client: sessions against recorded ones and against scripts, routing against scripts and against a model of proxies.

#[path = "../wire/golden_files.rs"]
mod golden_files;
mod replay;
