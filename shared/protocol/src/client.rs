//! Documents of Trino's client protocol (`/v1/statement`).
