//! ZooKeeper's trait: the model of `distributedlog-testkit` beside a real server.

mod script;
