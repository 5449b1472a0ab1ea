#![allow(missing_docs)]
#[path = "../src/health.rs"]
mod health;
#[path = "../src/sql/mod.rs"]
mod sql;
fn main() {
    let _ = (sql::run, health::run, sql::SqlArgs::for_statements("", ""));
}
