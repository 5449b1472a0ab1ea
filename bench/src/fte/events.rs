//! Goal 13: the scheduler's own measurement, its example `events`.

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::table::Measured;
use crate::place::Place;

/// Runs the example; why it cannot be run where it was not built.
pub async fn run(place: &Place) -> anyhow::Result<Result<Measured, String>> {
    let example = place.example("events");
    if !example.is_file() {
        return Ok(Err(format!("{} is not built", example.display())));
    }
    let ran = Command::new(&example).kill_on_drop(true).output().await?;
    let complaint = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{} failed: {complaint}", example.display());
    let text = String::from_utf8(ran.stdout)?;
    let rates = rates(&text).with_context(|| format!("not understood: {text}"))?;
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(Ok(Measured {
        value: slowest,
        shown: format!("{slowest:.0} (the slowest of {} loads)", rates.len()),
        notes: text.lines().map(str::to_owned).collect(),
    }))
}

/// The events a second of each line.
fn rates(text: &str) -> Option<Vec<f64>> {
    let rate = |line: &str| {
        let before = line.split_once(" events/s")?.0;
        before.rsplit(' ').next()?.parse().ok()
    };
    let rates: Vec<f64> = text.lines().map(rate).collect::<Option<_>>()?;
    (!rates.is_empty()).then_some(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_the_lines() {
        let text = "plain             600000 events in 0.400 s: 1500000 events/s, slowest event 9.000 ms\n\
            faults            700000 events in 0.700 s: 1000000 events/s, slowest event 12.0 ms\n";
        assert_eq!(rates(text), Some(vec![1_500_000.0, 1_000_000.0]));
        assert_eq!(rates("panicked"), None);
        assert_eq!(rates(""), None);
    }
}
