//! Links the device of one proxy as a device would choose it: its flash is what the budget is
//! about.
#![cfg_attr(target_os = "none", no_std, no_main)]

use distributedlog::client::session::MuxWrites;
use distributedlog::writer::OriginalFeatures;

distributedlog_bare::one_proxy_program!(OriginalFeatures, MuxWrites);
