//! Runs one fragment of a query over its inputs, on DataFusion; plan codec, memory pool, CPU runtime.
