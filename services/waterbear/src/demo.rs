//! `waterbear demo`: a cluster of processes on this machine, a query, and a worker that is killed
//! in the middle of it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use waterbear_config::Secret;

/// How long the cluster may take to be complete.
const START: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

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
    let (undisturbed, expected) = cluster.query(QUERY).await?;
    println!("  undisturbed: {:.2} s", undisturbed.as_secs_f64());

    let kill_at = undisturbed / 2;
    let running = tokio::spawn(cluster.ask(QUERY));
    tokio::time::sleep(kill_at).await;
    let victim = cluster.kill_a_worker().await?;
    println!("  once more; after {:.2} s {victim} is killed (kill -9)", kill_at.as_secs_f64());
    let answer = running.await?;
    if policy == "NONE" {
        match answer {
            Err(error) => println!("  the query fails, as it must under NONE:\n    {error:#}"),
            Ok(_) => println!("  the query was faster than the kill; try a larger --schema"),
        }
        return Ok(());
    }
    let (disturbed, rows) = answer?;
    ensure!(rows == expected, "the rows differ:\n{expected}\nand\n{rows}");
    let lost = disturbed.saturating_sub(undisturbed);
    println!(
        "  {:.2} s, {:.2} s more than undisturbed, and the same rows:\n",
        disturbed.as_secs_f64(),
        lost.as_secs_f64()
    );
    rows.lines().for_each(|row| println!("    {row}"));
    let cost = cluster.query(COST).await?.1;
    let cost: Vec<&str> = cost.trim().split(',').map(|part| part.trim_matches('"')).collect();
    if let [tasks, attempts, lost] = cost[..] {
        println!("\n{tasks} tasks, {attempts} attempts; {lost} ran on {victim} in vain");
    }
    println!("see system.runtime.tasks, EXPLAIN ANALYZE, and docs/fault-tolerance.md");
    Ok(())
}

/// Of the last query that read tables.
const COST: &str = "SELECT count(DISTINCT regexp_replace(task_id, '\\.[0-9]+$', '')), count(*), \
    count_if(state <> 'FINISHED') FROM system.runtime.tasks WHERE query_id = \
    (SELECT max(query_id) FROM system.runtime.tasks WHERE state = 'FINISHED')";

/// The processes; they end with it.
struct Cluster {
    folder: TempDir,
    binary: PathBuf,
    server: String,
    schema: String,
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
        let mut cluster = Self {
            binary: std::env::current_exe()?,
            server: format!("http://127.0.0.1:{}", coordinator[0]),
            schema: args.schema.clone(),
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
        let wanted = format!("\"{}\"", self.workers.len());
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
                Ok((_, rows)) if rows.trim() == wanted => return Ok(()),
                _ if since.elapsed() < START => tokio::time::sleep(PAUSE).await,
                Ok((_, rows)) => bail!("{} of {wanted} workers are there", rows.trim()),
                Err(error) => return Err(error),
            }
        }
    }

    /// A query and how long it takes, as `waterbear sql` prints its rows.
    fn ask(&self, sql: &str) -> impl Future<Output = Result<(Duration, String)>> + Send + use<> {
        let mut client = Command::new(&self.binary);
        client.args(["sql", "--server", &self.server, "--catalog", "tpch"]);
        client.args(["--schema", &self.schema, "--output-format", "CSV", "--execute", sql]);
        client.stdin(Stdio::null()).kill_on_drop(true);
        async move {
            let start = Instant::now();
            let answer = client.output().await.context("waterbear sql does not start")?;
            let error = String::from_utf8_lossy(&answer.stderr);
            ensure!(answer.status.success(), "{}", error.trim());
            Ok((start.elapsed(), String::from_utf8_lossy(&answer.stdout).into_owned()))
        }
    }

    async fn query(&self, sql: &str) -> Result<(Duration, String)> {
        self.ask(sql).await
    }

    /// Ends a worker at once; its name.
    async fn kill_a_worker(&mut self) -> Result<String> {
        let (name, mut worker) = self.workers.pop().context("there is no worker")?;
        worker.kill().await?;
        Ok(name)
    }
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
