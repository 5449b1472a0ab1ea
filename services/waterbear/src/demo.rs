//! `waterbear demo`: a cluster of processes on this machine, a query, and a worker that is killed
//! in the middle of it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::Method;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use waterbear_config::Secret;
use waterbear_protocol::client::StatementStats;

use crate::sql::progress;
use crate::sql::protocol::{Client, Failed, Page};
use crate::sql::request::HttpClient;
use crate::sql::session::Session;

/// How long the cluster may take to be complete.
const START: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// How often a worker is killed again whose tasks had just ended.
const TRIES: u32 = 5;
/// How often a query is looked at until it runs.
const GLANCE: Duration = Duration::from_millis(5);

/// TPC-H's query 5: six tables, three quarters of them in one long chain of joins.
const QUERY: &str = "SELECT n.name, round(sum(l.extendedprice * (1 - l.discount)), 2) AS revenue \
    FROM customer c JOIN orders o ON c.custkey = o.custkey \
    JOIN lineitem l ON l.orderkey = o.orderkey \
    JOIN supplier s ON l.suppkey = s.suppkey AND c.nationkey = s.nationkey \
    JOIN nation n ON s.nationkey = n.nationkey JOIN region r ON n.regionkey = r.regionkey \
    WHERE r.name = 'ASIA' GROUP BY n.name ORDER BY revenue DESC";

/// What `demo` can be told.
#[derive(Args)]
pub struct DemoArgs {
    /// What runs again when the worker dies: TASK, or NONE to see the query fail.
    #[arg(long, default_value = "TASK", value_parser = ["TASK", "NONE"], ignore_case = true)]
    policy: String,
    /// The schema of the catalog tpch: tiny, sf1, sf10, …
    #[arg(long, default_value = "sf1")]
    schema: String,
    /// Workers in the cluster.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=16))]
    workers: u16,
}

/// Shows it; fails when the rows were not those of the undisturbed run.
pub async fn run(args: DemoArgs) -> ExitCode {
    match show(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waterbear demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn show(args: &DemoArgs) -> Result<()> {
    let policy = args.policy.to_uppercase();
    let mut cluster = Cluster::start(args, &policy).await?;
    println!("a cluster of processes: 1 discovery, 1 coordinator, {} workers", args.workers);
    println!("retry-policy={policy}, spool in {}", cluster.spool().display());
    println!("\nTPC-H query 5 over tpch.{}:", args.schema);
    // The first run makes connections and the generator's texts.
    cluster.query(QUERY).await?;
    let undisturbed = cluster.query(QUERY).await?;
    println!("  undisturbed: {:.2} s", undisturbed.seconds());

    let mut tries = 0;
    let disturbed = loop {
        let (id, running, after) = cluster.half_way(&undisturbed).await?;
        let victim = cluster.kill_a_worker(&id).await?;
        println!("  once more; after {:.2} s {victim} is killed (kill -9)", after.as_secs_f64());
        match running.await? {
            Err(error) if policy == "NONE" => {
                println!("  the query fails, as it must under NONE:\n    {error:#}");
                return Ok(());
            }
            Ok(answered) if policy == "TASK" && answered.stats.task_retries > 0 => break answered,
            // Its tasks had ended just before.
            Ok(_) if tries < TRIES => println!("  it had no task just then, and is started again"),
            Ok(_) => bail!("the query was faster than the kill: try a larger --schema"),
            Err(error) => return Err(error),
        }
        tries += 1;
        cluster.restart(&victim).await?;
    };
    let (rows, expected) = (&disturbed.rows, &undisturbed.rows);
    ensure!(rows == expected, "the rows differ:\n{expected:#?}\nand\n{rows:#?}");
    let lost = (disturbed.seconds() - undisturbed.seconds()).max(0.0);
    println!(
        "  {:.2} s, {lost:.2} s more than undisturbed, and the same rows:\n",
        disturbed.seconds()
    );
    rows.iter().for_each(|row| println!("    {row}"));
    let spooled = progress::spooled(&disturbed.stats).unwrap_or_default();
    println!(
        "\n{} tasks on {} nodes: {spooled}",
        disturbed.stats.total_splits, disturbed.stats.nodes
    );
    println!("see system.runtime.tasks, EXPLAIN ANALYZE, and docs/fault-tolerance.md");
    Ok(())
}

/// What a query has given.
struct Answered {
    /// As JSON without its brackets.
    rows: Vec<String>,
    stats: StatementStats,
}

impl Answered {
    fn seconds(&self) -> f64 {
        self.stats.elapsed_time_millis as f64 / 1000.0
    }

    /// The time in which its tasks ran.
    fn ran(&self) -> Duration {
        let before = self.stats.queued_time_millis
            + self.stats.analysis_time_millis
            + self.stats.planning_time_millis;
        Duration::from_millis(self.stats.elapsed_time_millis.saturating_sub(before))
    }
}

/// The processes; they end with it.
struct Cluster {
    folder: TempDir,
    binary: PathBuf,
    server: String,
    client: Client,
    http: HttpClient,
    session: Session,
    others: Vec<Child>,
    workers: Vec<(String, Child)>,
}

impl Cluster {
    async fn start(args: &DemoArgs, policy: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("waterbear-demo-").tempdir()?;
        let etc = folder.path().join("etc");
        fs::create_dir_all(etc.join("catalog"))?;
        fs::write(etc.join("catalog/tpch.properties"), "connector.name=tpch\n")?;
        let spool = folder.path().join("spool");
        let exchange = format!(
            "exchange-manager.name=filesystem\nexchange.base-directories={}\n",
            spool.display()
        );
        fs::write(etc.join("exchange-manager.properties"), exchange)?;
        let (discovery, coordinator) = (free_ports()?, free_ports()?);
        let common = format!(
            "discovery.uri=https://127.0.0.1:{}\ninternal-communication.shared-secret={}\n",
            discovery[1],
            Secret::generate()?.expose()
        );
        fs::write(etc.join("config.properties"), common)?;
        let server = format!("http://127.0.0.1:{}", coordinator[0]);
        let (catalog, schema) = (Some("tpch".to_owned()), Some(args.schema.clone()));
        let mut cluster = Self {
            binary: std::env::current_exe()?,
            client: Client::new(&server, START).map_err(anyhow::Error::msg)?,
            http: HttpClient::new(),
            session: Session::new(None, catalog, schema, Vec::new()),
            server,
            others: Vec::new(),
            workers: Vec::new(),
            folder,
        };
        let found = cluster.launch("discovery", "discovery", discovery, &[])?;
        cluster.others.push(found);
        let own = ["coordinator=true".to_owned(), format!("retry-policy={policy}")];
        let found = cluster.launch("coordinator", "coordinator", coordinator, &own)?;
        cluster.others.push(found);
        for number in 1..=args.workers {
            let name = format!("worker-{number}");
            let worker = cluster.launch("worker", &name, free_ports()?, &[])?;
            cluster.workers.push((name, worker));
        }
        cluster.wait().await?;
        Ok(cluster)
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn launch(&self, role: &str, name: &str, ports: [u16; 2], own: &[String]) -> Result<Child> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder)?;
        let mut command = Command::new(&self.binary);
        command.arg(role).arg("--etc-dir").arg(self.folder.path().join("etc"));
        let mut properties = vec![
            format!("node.id={name}"),
            "node.environment=demo".to_owned(),
            "node.internal-address=127.0.0.1".to_owned(),
            "node.bind-ip=127.0.0.1".to_owned(),
            format!("node.data-dir={}", folder.join("data").display()),
            format!("http-server.http.port={}", ports[0]),
        ];
        if role != "coordinator" {
            properties.push(format!("http-server.https.port={}", ports[1]));
        }
        for property in properties.iter().chain(own) {
            command.args(["-D", property]);
        }
        let log = fs::File::create(log_of(&folder))?;
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        started.kill_on_drop(true).spawn().with_context(|| format!("{name} does not start"))
    }

    /// Waits for all workers.
    async fn wait(&mut self) -> Result<()> {
        let since = Instant::now();
        let sql =
            "SELECT count(*) FROM system.runtime.nodes WHERE NOT coordinator AND state = 'active'";
        let wanted = self.workers.len().to_string();
        loop {
            for process in
                self.others.iter_mut().chain(self.workers.iter_mut().map(|(_, worker)| worker))
            {
                ensure!(
                    process.try_wait()?.is_none(),
                    "a process has ended; the logs are in {}",
                    self.folder.path().display()
                );
            }
            match self.query(sql).await {
                Ok(found) if found.rows == [wanted.as_str()] => return Ok(()),
                _ if since.elapsed() < START => tokio::time::sleep(PAUSE).await,
                Ok(found) => bail!("{} of {wanted} workers are there", found.rows.join("")),
                Err(error) => return Err(error),
            }
        }
    }

    /// Submits a query; its name, and its answer to come.
    async fn ask(&self, sql: &str) -> Result<(String, JoinHandle<Result<Answered>>)> {
        let page = self.client.post(sql, &self.session).await.map_err(failed)?;
        let id = page.id.clone();
        Ok((id, tokio::spawn(follow(self.client.clone(), page))))
    }

    async fn query(&self, sql: &str) -> Result<Answered> {
        self.ask(sql).await?.1.await?
    }

    /// Runs the query again, to the middle of it; its name, its answer to come, and how long it has
    /// run.
    async fn half_way(
        &self,
        before: &Answered,
    ) -> Result<(String, JoinHandle<Result<Answered>>, Duration)> {
        for part in [2, 4, 8] {
            let (id, running) = self.ask(QUERY).await?;
            let asked = Instant::now();
            while !running.is_finished() && !self.runs(&id).await? {
                tokio::time::sleep(GLANCE).await;
            }
            tokio::time::sleep(before.ran() / part).await;
            if self.runs(&id).await? {
                return Ok((id, running, asked.elapsed()));
            }
            // Faster than before: once more, and sooner.
            running.await??;
        }
        bail!("the query is too fast to be disturbed: try a larger --schema")
    }

    /// Whether a query's tasks run now.
    async fn runs(&self, id: &str) -> Result<bool> {
        let uri = format!("{}/v1/query/{id}", self.server);
        let headers = self.session.headers().map_err(anyhow::Error::msg)?;
        let answer = self.http.send(Method::GET, &uri, headers, Bytes::new(), START).await;
        let answer = answer.map_err(anyhow::Error::msg)?;
        let info: serde_json::Value = serde_json::from_slice(&answer.body)
            .with_context(|| format!("{uri} answered {}", answer.status))?;
        Ok(info["state"] == "RUNNING")
    }

    /// Ends the worker at once that runs most of the query's tasks; its name.
    async fn kill_a_worker(&mut self, id: &str) -> Result<String> {
        let sql = format!(
            "SELECT node_id FROM system.runtime.tasks WHERE query_id = '{id}' AND \
             upper(state) = 'RUNNING' GROUP BY node_id ORDER BY count(*) DESC, node_id LIMIT 1"
        );
        let found = self.query(&sql).await?.rows;
        let busiest = found.first().map(|row| row.trim_matches('"').to_owned());
        let last = self.workers.len().saturating_sub(1);
        let index = self.workers.iter().position(|(name, _)| Some(name) == busiest.as_ref());
        let (name, worker) =
            self.workers.get_mut(index.unwrap_or(last)).context("there is no worker")?;
        worker.kill().await?;
        Ok(name.clone())
    }

    /// Starts a worker again that was killed.
    async fn restart(&mut self, name: &str) -> Result<()> {
        let again = self.launch("worker", name, free_ports()?, &[])?;
        let worker = self.workers.iter_mut().find(|(own, _)| own == name);
        worker.context("there is no such worker")?.1 = again;
        self.wait().await
    }
}

/// Reads a query to its end.
async fn follow(client: Client, mut page: Page) -> Result<Answered> {
    let mut rows = Vec::new();
    loop {
        if let Some(error) = &page.error {
            bail!("{}", error.message);
        }
        for row in page.data.iter().flatten() {
            let values: Vec<_> = row.iter().map(|value| value.get()).collect();
            rows.push(values.join(", "));
        }
        let Some(uri) = &page.next_uri else { return Ok(Answered { rows, stats: page.stats }) };
        page = client.get(uri).await.map_err(failed)?;
    }
}

fn failed(error: Failed) -> anyhow::Error {
    anyhow::Error::msg(error.to_string())
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// Two ports that nothing listens on now.
fn free_ports() -> Result<[u16; 2]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (bind()?, bind()?);
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}
