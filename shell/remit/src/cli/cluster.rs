//! What makes a node one of several.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

/// How `remit up` takes part in a cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "One of several nodes")]
pub(crate) struct Cluster {
    /// Be one of several nodes that share this bucket: one is active, the others stand by. The access key is in AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY, and all nodes have one master key.
    #[arg(long, env = "REMIT_CLUSTER", value_name = "s3://BUCKET/PREFIX", requires = "address")]
    pub(crate) cluster: Option<String>,
    /// The bucket's region.
    #[arg(long, env = "AWS_REGION", value_name = "REGION", default_value = "us-east-1")]
    pub(crate) cluster_region: String,
    /// Another endpoint than AWS's own for the bucket. It has to keep the conditions of writes (If-None-Match, If-Match).
    #[arg(long, env = "REMIT_CLUSTER_ENDPOINT", value_name = "URL")]
    pub(crate) cluster_endpoint: Option<String>,
    /// Where this node listens for what the others pass on.
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))]
    pub(crate) cluster_listen: SocketAddr,
    /// Where the other nodes reach that, if it is another address.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) cluster_address: Option<String>,
    /// How long nobody is active when the active node is suddenly gone: 1 to 300 seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) cluster_lease_secs: u64,
    /// After how many batches of the log a new base is saved, with which new nodes begin.
    #[arg(long, value_name = "BATCHES", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) cluster_base_batches: u64,
}
