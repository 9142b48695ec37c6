//! The same as one-proxy, with all of the writer's rules: budget, health, adaptive timeouts,
//! identities.
#![cfg_attr(target_os = "none", no_std, no_main)]

use distributedlog::client::session::MuxWrites;
use distributedlog::writer::NoChanges;

distributedlog_bare::one_proxy_program!(NoChanges, MuxWrites);
