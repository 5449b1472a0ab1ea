//! Output buffers and exchange sources: record batches from task to task, pulled by token.
