use super::streams::StreamList;

/// The proxies and streams that a command writes to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WriteTo {
    #[cfg_attr(
        feature = "zookeeper",
        doc = "The proxies as a Finagle name: inet!HOST:PORT[,HOST:PORT], or zk!HOST:PORT!/PATH \
               for proxies that announce themselves in ZooKeeper"
    )]
    #[cfg_attr(
        not(feature = "zookeeper"),
        doc = "The proxies as a Finagle name: inet!HOST:PORT[,HOST:PORT]"
    )]
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The streams, separated by commas; a comma in a name is written \,
    #[arg(value_name = "STREAM[,STREAM]")]
    pub(crate) streams: StreamList,
}
