//! As one-proxy, with all of the writer's rules and all that a session can speak.
#![cfg_attr(target_os = "none", no_std, no_main)]

use distributedlog::client::session::AllSessionFeatures;
use distributedlog::writer::AllFeatures;

distributedlog_bare::one_proxy_program!(AllFeatures, AllSessionFeatures);
