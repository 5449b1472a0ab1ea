//! Squares of numbers, computed on nodes of which one dies, and one loses its answers.
//!
//! `cargo run --release -p exchange-retry --example lost_answer`

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};

use exchange_retry::{
    Attempt, AttemptFailure, Call, Class, ExchangeRetryLayer, Limits, Number, Spool, Task,
    TaskAttempts,
};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

/// What is to be done. Its clones share one record of attempts.
#[derive(Clone)]
struct Square {
    number: u64,
    attempts: TaskAttempts<&'static str, u64>,
}

impl Task for Square {
    type Node = &'static str;
    type Committed = u64;

    fn attempts(&self) -> &TaskAttempts<&'static str, u64> {
        &self.attempts
    }
}

/// Outputs by task and attempt: where a storage would be.
#[derive(Clone, Default)]
struct Outputs(Arc<Mutex<BTreeMap<(u64, Number), u64>>>);

impl Spool<Square> for Outputs {
    type Error = Infallible;

    async fn committed(&self, task: &Square, attempt: Number) -> Result<Option<u64>, Infallible> {
        let outputs = self.0.lock().expect("no writer panics");
        Ok(outputs.get(&(task.number, attempt)).copied())
    }
}

#[derive(Debug)]
struct NoAnswer(&'static str);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer from {}", self.0)
    }
}

impl std::error::Error for NoAnswer {}

impl AttemptFailure for NoAnswer {
    fn class(&self) -> Class {
        Class::NodeLost
    }
}

/// Runs one attempt on the first node that is not to be avoided.
async fn run(attempt: Attempt<Square>, outputs: Outputs) -> Result<u64, NoAnswer> {
    let nodes = ["dead", "mute", "good"];
    let node = nodes.into_iter().find(|node| !attempt.avoid.contains(node)).unwrap_or("good");
    attempt.placed.on(node);
    println!("attempt {} at {}² on {node}", attempt.number, attempt.task.number);
    if node == "dead" {
        return Err(NoAnswer(node));
    }
    let square = attempt.task.number.pow(2);
    let key = (attempt.task.number, attempt.number);
    outputs.0.lock().expect("no writer panics").insert(key, square);
    if node == "mute" { Err(NoAnswer(node)) } else { Ok(square) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let outputs = Outputs::default();
    let mut squares = ServiceBuilder::new()
        .layer(ExchangeRetryLayer::new(outputs.clone()))
        .service_fn(move |attempt| run(attempt, outputs.clone()));

    let square = Square { number: 12, attempts: TaskAttempts::new(Limits::default(), 1) };
    // "dead" has nothing in the spool: run again. "mute" has: its answer is found there.
    let winner = squares.ready().await?.call(Call::new(square.clone())).await?;
    println!("{} by attempt {}", winner.committed, winner.attempt);
    assert_eq!((winner.committed, winner.attempt), (144, 1));

    // Somebody finds the output damaged. It is condemned, and never wins again.
    let call = Call { task: square.clone(), condemned: vec![winner.attempt] };
    let winner = squares.ready().await?.call(call).await?;
    println!("{} by attempt {}", winner.committed, winner.attempt);
    assert_eq!((winner.committed, winner.attempt), (144, 2));

    let (numbered, losses) =
        square.attempts.read(|attempts| (attempts.numbered(), attempts.losses()));
    println!("{numbered} attempts, {losses} lost");
    Ok(())
}
