//! Bind, accept, drain: how any service of the cluster listens, and the stacks in front of its routes.
