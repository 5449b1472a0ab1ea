//! Logs to stderr and one metric registry for a process.
//!
//! Layout: [`logging`] starts the log, [`log_limit`] keeps what repeats from flooding it,
//! [`metric`] has the registry; [`ServiceMetrics`] is a service's handle to it, which puts the
//! service's role and node on everything: one process may hold many services.

pub mod log_limit;
pub mod logging;
pub mod metric;

pub use log_limit::{LogLimit, variant_name};
pub use logging::{init_logging, init_quiet_logging};
pub use metric::{MetricsHandle, ServiceMetrics, install_metrics};
