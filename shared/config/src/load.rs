//! How a configuration is read: files and `-D`, the table, what is needed, what contradicts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use waterbear_protocol::RetryPolicy;
use waterbear_protocol::membership::Role;

use crate::config::{
    ExchangeManager, HttpServer, InternalCommunication, Node, ProcessForwarded, Query, Retry, Task,
};
use crate::location::parse_port;
use crate::problems::{Origin, Problem};
use crate::registry::{
    self, ALL, CONNECTING, COORDINATOR, LISTENING, QUERYING, Roles, SERVICES, kind,
};
use crate::settings::{Reader, Settings};
use crate::units::parse_duration;
use crate::{BaseDirectories, Config, DataSize, MemorySize, Problems, Process, Secret};

/// What each role needs, and what to do.
const REQUIRED: &[(&str, Roles, &str)] = &[
    ("node.environment", ALL, "give the cluster a name, the same on all its nodes"),
    ("node.data-dir", SERVICES, "name a folder for the node's own files"),
    (
        SECRET,
        ALL,
        "make one with 'waterbear secret generate', the same for all nodes; best in a file of its own, with ${FILE:path}",
    ),
    ("http-server.http.port", SERVICES, "choose a port, such as 8080"),
    (DISCOVERY_URI, CONNECTING, "write where discovery answers: https://host:port[,...]"),
];

const SECRET: &str = "internal-communication.shared-secret";
const HTTPS_REQUIRED: &str = "internal-communication.https.required";
const HTTPS_PORT: &str = "http-server.https.port";
const DISCOVERY_URI: &str = "discovery.uri";
const POOL: &str = "memory.pool-size-per-node";
const QUERY_MEMORY: &str = "query.max-memory-per-node";
const BASE_DIRECTORIES: &str = "exchange.base-directories";

/// Files of Trino's etc folder that are not read, and what to know about it.
const OTHER_FILES: &[(&str, &str)] = &[
    ("jvm.config", "is not read: there is no JVM"),
    ("log.properties", "is not read: the environment variable WATERBEAR_LOG sets log levels"),
    ("resource-groups.properties", "is not read: resource groups are not supported yet"),
    ("session-property-config.properties", "is not read: it is not supported yet"),
    ("event-listener.properties", "is not read: event listeners are not supported yet"),
    ("spooling-manager.properties", "is not read: results go through the coordinator"),
    ("group-provider.properties", "is not read: groups are not supported yet"),
    ("password-authenticator.properties", "is not read: clients are not authenticated yet"),
    ("certificate-authenticator.properties", "is not read: clients are not authenticated yet"),
    ("header-authenticator.properties", "is not read: clients are not authenticated yet"),
];

impl Config {
    /// Reads the files of `etc_dir` and the overrides after `-D`, which win.
    ///
    /// A property that only other roles use is accepted without a look at its value, so that one
    /// file may serve all nodes. For [`Process::Standalone`] nothing is required.
    ///
    /// # Errors
    ///
    /// All problems at once. No problem shows a secret.
    pub fn load(
        process: impl Into<Process>,
        etc_dir: Option<&Path>,
        overrides: &[(String, String)],
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let mut reader = Reader::new(process.into(), env);
        if let Some(folder) = etc_dir
            && !reader.check_folder(folder)
        {
            // Without its files, all that a node needs would seem to be missing.
            return Err(Problems(reader.problems));
        }
        let settings = reader.settings(etc_dir, overrides);
        let mut load = Load { reader, settings, etc_dir };
        let config = load.config();
        match (config, load.reader.problems) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(Problems(problems)),
        }
    }
}

impl Reader<'_> {
    /// Returns whether there is a folder to read.
    fn check_folder(&mut self, folder: &Path) -> bool {
        if !folder.is_dir() {
            let text = "is not a folder: --etc-dir must name one";
            self.problems.push(Problem::of_file(Origin::File(folder.to_owned()), text));
            return false;
        }
        for (name, text) in OTHER_FILES {
            if folder.join(name).exists() {
                self.warn(folder.join(name).display().to_string(), text);
            }
        }
        let access_control = folder.join("access-control.properties");
        if COORDINATOR.include(self.process) && access_control.exists() {
            let text = "access control is not supported yet, and would not happen: remove the file, and let only trusted clients reach the coordinator";
            self.problems.push(Problem::of_file(Origin::File(access_control), text));
        }
        true
    }
}

struct Load<'a> {
    reader: Reader<'a>,
    settings: Settings,
    etc_dir: Option<&'a Path>,
}

impl Load<'_> {
    /// The configuration; its values are to be used only if no problem was found.
    fn config(&mut self) -> Option<Config> {
        let process = self.reader.process;
        let https_required = self.settings.get(HTTPS_REQUIRED, kind::boolean).unwrap_or(true);
        self.require(https_required);
        let http = self.http(https_required);
        let discovery = self.settings.get(DISCOVERY_URI, kind::discovery_uris).unwrap_or_default();
        if https_required && discovery.iter().any(|uri| !uri.https) {
            let text = format!("has an http:// URI while {HTTPS_REQUIRED}=true: write https://");
            self.contradiction(DISCOVERY_URI, text);
        }
        if process == Process::One(Role::Coordinator)
            && self.settings.get("coordinator", kind::boolean) == Some(false)
        {
            let text = "is false, but this process is a coordinator: set true, or remove it";
            self.contradiction("coordinator", text.to_owned());
        }
        self.check_memory();
        let retry = self.retry();
        let exchange_manager = self.exchange_manager();
        let catalogs = match self.etc_dir {
            Some(folder) if QUERYING.include(process) => self.reader.catalogs(folder),
            _ => Vec::new(),
        };
        self.general_warnings(https_required);
        Some(Config {
            process,
            node: self.node(),
            internal: InternalCommunication {
                shared_secret: self.settings.get(SECRET, |text| Secret::parse(text).ok()),
                https_required,
                http2: self.settings.get("internal-communication.http2.enabled", kind::boolean)?,
            },
            http: http?,
            discovery,
            query: Query {
                client_timeout: self.time("query.client.timeout")?,
                max_concurrent_queries: self.count("query.max-concurrent-queries")?,
                max_queued_queries: self.count("query.max-queued-queries")?,
                max_length: self.count("query.max-length")?,
                max_recursion_depth: u32::try_from(self.count("max-recursion-depth")?)
                    .unwrap_or(u32::MAX),
                max_run_time: self.time("query.max-run-time")?,
                max_execution_time: self.time("query.max-execution-time")?,
                max_planning_time: self.time("query.max-planning-time")?,
                max_cpu_time: self.time("query.max-cpu-time")?,
                max_memory: self
                    .size("query.max-memory")?
                    .min(self.size("query.max-total-memory")?),
                max_memory_per_node: self.settings.get(QUERY_MEMORY, |text| text.parse().ok()),
            },
            memory_pool_size: self.settings.get(POOL, |text| text.parse().ok()),
            task: Task {
                max_worker_threads: self.settings.get("task.max-worker-threads", kind::threads),
                concurrency: self.settings.get("task.concurrency", |text| text.parse().ok()),
                bytes_per_partition: self
                    .settings
                    .get("task.bytes-per-partition", |text| text.parse().ok())?,
                client_timeout: self.time("task.client.timeout")?,
                max_spooled_tasks: self
                    .settings
                    .get("task.max-spooled-tasks", |text| text.parse().ok()),
            },
            shutdown_grace_period: self.time("shutdown.grace-period")?,
            retry: retry?,
            exchange_manager,
            catalogs,
            warnings: self.reader.take_warnings(),
        })
    }

    fn check_memory(&mut self) {
        let memory = |name| self.settings.get(name, |text| text.parse::<MemorySize>().ok());
        let pool = memory(POOL);
        let query = memory(QUERY_MEMORY);
        for (name, size) in [(POOL, pool), (QUERY_MEMORY, query)] {
            if size == Some(MemorySize::Bytes(DataSize::of_bytes(0))) {
                self.contradiction(name, "is 0, and no query could run: give more".to_owned());
            }
        }
        let beyond = match (query, pool) {
            (Some(MemorySize::Bytes(query)), Some(MemorySize::Bytes(pool))) => query > pool,
            (Some(MemorySize::Percent(query)), Some(MemorySize::Percent(pool))) => query > pool,
            _ => false,
        };
        if beyond {
            let text = format!("is more than {POOL}: no query can have more than the pool");
            self.contradiction(QUERY_MEMORY, text);
        }
    }

    fn require(&mut self, https_required: bool) {
        if self.reader.process == Process::Standalone {
            return;
        }
        for (name, roles, cure) in REQUIRED {
            if roles.include(self.reader.process) {
                self.require_one(name, cure);
            }
        }
        if https_required && LISTENING.include(self.reader.process) {
            self.require_one(HTTPS_PORT, "choose a port for the internal listener, such as 8443");
        }
    }

    fn require_one(&mut self, name: &str, cure: &str) {
        if self.settings.is_set(name) {
            return;
        }
        let file = registry::find(name).map_or("config.properties", |(file, _)| file.name());
        let origin = match self.etc_dir {
            // Nobody knows what an unreadable file sets.
            Some(folder) if self.reader.unread.contains(&folder.join(file)) => return,
            Some(folder) => Origin::File(folder.join(file)),
            None => Origin::Absent("-D".to_owned()),
        };
        self.reader.problems.push(Problem::new(origin, name, format!("is missing: {cure}")));
    }

    /// A problem of a property that does not agree with another.
    fn contradiction(&mut self, name: &str, text: String) {
        let origin = self.settings.origin(name);
        let origin = origin.unwrap_or_else(|| Origin::Absent("by default".to_owned()));
        self.reader.problems.push(Problem::new(origin, name, text));
    }

    fn time(&self, name: &str) -> Option<Duration> {
        self.settings.get(name, |text| parse_duration(text).ok())
    }

    fn count(&self, name: &str) -> Option<usize> {
        self.settings.get(name, |text| text.parse().ok())
    }

    fn size(&self, name: &str) -> Option<DataSize> {
        self.settings.get(name, |text| text.parse().ok())
    }

    fn node(&self) -> Node {
        let text = |name| self.settings.get(name, |text| Some(text.to_owned()));
        let data_dir = |text: &str| Some(std::path::absolute(text).unwrap_or(PathBuf::from(text)));
        Node {
            environment: text("node.environment").unwrap_or_else(|| "standalone".to_owned()),
            id: self.settings.get("node.id", |text| text.parse().ok()),
            internal_address: text("node.internal-address"),
            bind_ip: self.settings.get("node.bind-ip", |text| text.parse().ok()),
            data_dir: self.settings.get("node.data-dir", data_dir),
        }
    }

    fn http(&mut self, https_required: bool) -> Option<HttpServer> {
        let http_port = self.settings.get("http-server.http.port", parse_port);
        let https_port = self.settings.get(HTTPS_PORT, parse_port);
        if let (Some(http), Some(https)) = (http_port, https_port)
            && http == https
            && http != 0
        {
            let text = format!("is {https}, as http-server.http.port: choose two ports");
            self.contradiction(HTTPS_PORT, text);
        }
        let https_enabled = self.settings.get("http-server.https.enabled", kind::boolean);
        if https_required && https_enabled == Some(false) {
            let text = format!("is false while {HTTPS_REQUIRED}=true: remove one of the two");
            self.contradiction("http-server.https.enabled", text);
        }
        if https_enabled == Some(true) && self.reader.process == Process::One(Role::Coordinator) {
            let text = "TLS for clients is not supported yet: they use http-server.http.port";
            self.reader.warn("http-server.https.enabled".to_owned(), text);
        }
        let forwarded = |text: &str| match text.to_ascii_uppercase().as_str() {
            "ACCEPT" | "TRUE" => Some(ProcessForwarded::Accept),
            "IGNORE" => Some(ProcessForwarded::Ignore),
            _ => Some(ProcessForwarded::Reject),
        };
        let process_forwarded = self.settings.get("http-server.process-forwarded", forwarded)?;
        let alternate_header =
            self.settings.get("protocol.v1.alternate-header-name", |text| Some(text.to_owned()));
        Some(HttpServer { http_port, https_port, process_forwarded, alternate_header })
    }

    fn retry(&mut self) -> Option<Retry> {
        let policy = self.settings.get("retry-policy", RetryPolicy::parse)?;
        let policies = |text: &str| {
            text.split(',').map(|item| RetryPolicy::parse(item.trim())).collect::<Option<Vec<_>>>()
        };
        let mut allowed = self.settings.get("retry-policy.allowed", policies)?;
        allowed.sort_unstable();
        allowed.dedup();
        if policy == RetryPolicy::Query {
            let text = "QUERY is not supported yet: use TASK or NONE".to_owned();
            self.contradiction("retry-policy", text);
        } else if policy == RetryPolicy::Task
            && !self.settings.exchange_manager
            && self.reader.process == Process::One(Role::Coordinator)
        {
            let text = "TASK needs a place for what tasks leave: write \
                        exchange-manager.properties with exchange-manager.name=filesystem and \
                        exchange.base-directories";
            self.contradiction("retry-policy", text.to_owned());
        } else if !allowed.contains(&policy) {
            let text = format!("does not hold {}, which is retry-policy: add it", policy.name());
            self.contradiction("retry-policy.allowed", text);
        }
        let size = |text: &str| text.parse().ok();
        let number = |text: &str| text.parse().ok();
        let memory = "fault-tolerant-execution-task-memory";
        let growth = "fault-tolerant-execution-task-memory-growth-factor";
        let target = "fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min";
        Some(Retry {
            policy,
            allowed,
            task_attempts: self
                .settings
                .get("task-retry-attempts-per-task", |text| text.parse().ok())?,
            initial_delay: self.time("retry-initial-delay")?,
            max_delay: self.time("retry-max-delay")?,
            delay_scale: self.settings.get("retry-delay-scale-factor", number)?,
            task_memory: self.settings.get(memory, size),
            task_memory_growth: self.settings.get(growth, number)?,
            task_target_size: self.settings.get(target, size)?,
            max_spool_size: self.settings.get("query.max-spool-size", size)?,
        })
    }

    fn exchange_manager(&mut self) -> Option<ExchangeManager> {
        if !self.settings.exchange_manager || !QUERYING.include(self.reader.process) {
            return None;
        }
        self.require_one("exchange-manager.name", "write exchange-manager.name=filesystem");
        self.require_one(BASE_DIRECTORIES, "name where spooled data goes, such as /shared/spool");
        let base_directories =
            self.settings.get(BASE_DIRECTORIES, |text| BaseDirectories::parse(text).ok());
        let sink_buffer_size =
            self.settings.get("exchange.sink-buffer-size", |text| text.parse().ok())?;
        let memory_cache_size =
            self.settings.get("exchange.memory-cache-size", |text| text.parse().ok())?;
        let on_s3 = matches!(base_directories, Some(BaseDirectories::S3(_)));
        self.check_s3(on_s3);
        if on_s3 {
            let text = "is on S3, which is not supported yet: name a folder that all nodes share";
            self.contradiction(BASE_DIRECTORIES, text.to_owned());
        }
        let base_directories = base_directories?;
        Some(ExchangeManager { base_directories, sink_buffer_size, memory_cache_size })
    }

    /// Trino's rules about the properties of S3.
    fn check_s3(&mut self, on_s3: bool) {
        let set = |name: &str| self.settings.is_set(&format!("exchange.s3.{name}"));
        let (access, secret) = (set("aws-access-key"), set("aws-secret-key"));
        let (role, external_id) = (set("iam-role"), set("external-id"));
        let placed = set("region") || set("endpoint");
        if access != secret {
            let (there, absent) = match access {
                true => ("exchange.s3.aws-access-key", "exchange.s3.aws-secret-key"),
                false => ("exchange.s3.aws-secret-key", "exchange.s3.aws-access-key"),
            };
            self.contradiction(there, format!("needs {absent}: give both, or neither"));
        }
        if role && (access || secret) {
            let text = "cannot be used with keys: give the role, or the keys";
            self.contradiction("exchange.s3.iam-role", text.to_owned());
        }
        if external_id && !role {
            let text = "needs exchange.s3.iam-role".to_owned();
            self.contradiction("exchange.s3.external-id", text);
        }
        if on_s3 && !placed {
            let text = "is on S3: give exchange.s3.region, or exchange.s3.endpoint".to_owned();
            self.contradiction(BASE_DIRECTORIES, text);
        }
    }

    fn general_warnings(&mut self, https_required: bool) {
        if !https_required {
            let text = "statements, plans, rows, tokens and the keys of spooled data travel in clear between nodes; anybody on the network can read them";
            self.reader.warn(format!("{HTTPS_REQUIRED}=false"), text);
        }
    }
}
