//! Links the device of one proxy with the features that a device would choose. The flash budget is
//! for this program.
#![cfg_attr(target_os = "none", no_std, no_main)]

use distributedlog::client::session::MuxWrites;
use distributedlog::writer::OriginalFeatures;

distributedlog_bare::one_proxy_program!(OriginalFeatures, MuxWrites);
