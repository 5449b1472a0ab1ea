//! Announce a node, watch the cluster, and what a node's state means.
