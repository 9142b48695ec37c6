//! The same as one-proxy, with all of the writer's rules and all protocols of a session.
#![cfg_attr(target_os = "none", no_std, no_main)]

use distributedlog::client::session::AllSessionFeatures;
use distributedlog::writer::NoChanges;

distributedlog_bare::one_proxy_program!(NoChanges, AllSessionFeatures);
