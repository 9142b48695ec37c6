//! Code over the trait `ZooKeeper`: on the model of `distributedlog-testkit`, with each request
//! lost in each way, and beside a real server.

mod bookies;
mod cluster;
mod driver;
mod faults;
mod lock;
mod log;
mod real;
mod script;
