//! Runs a mix of queries from several clients at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;
use waterbear_testkit::client::{Answer, Client, Session};

use crate::queries::Query;
use crate::report::{Outcome, Report};

/// Clients that each ask the next query of the mix, until the time is over and each query of the
/// mix was asked at least once.
pub async fn smoke(
    client: Client,
    session: Session,
    mix: Vec<Query>,
    clients: u32,
    duration: Duration,
) -> anyhow::Result<Report> {
    let mix = Arc::new(mix);
    let asked = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (client, session) = (client.clone(), session.clone());
        let (mix, asked) = (Arc::clone(&mix), Arc::clone(&asked));
        running.spawn(async move {
            let mut done = Vec::new();
            loop {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                if number >= mix.len() && start.elapsed() >= duration {
                    return done;
                }
                let index = number % mix.len();
                done.push((index, ask(&client, session.clone(), &mix[index]).await));
            }
        });
    }
    let mut report = Report::new(mix.iter().map(|query| query.name), clients);
    while let Some(done) = running.join_next().await {
        for (index, outcome) in done.context("a client ended early")? {
            report.add(index, outcome);
        }
    }
    report.finish(start.elapsed());
    Ok(report)
}

async fn ask(client: &Client, mut session: Session, query: &Query) -> Outcome {
    let start = Instant::now();
    let answer = client.answer(&mut session, query.sql).await;
    let took = start.elapsed();
    match answer {
        Err(error) => Outcome::Failed(format!("{error:#}")),
        Ok(answer) => match query.judge(&answer) {
            Ok(()) => Outcome::Right(took),
            Err(reason) if matches!(answer, Answer::Error { .. }) && !query.must_fail() => {
                Outcome::Failed(reason)
            }
            Err(reason) => Outcome::Wrong(reason),
        },
    }
}
