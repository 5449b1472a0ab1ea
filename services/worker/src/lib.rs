//! Runs task attempts and serves their output.
