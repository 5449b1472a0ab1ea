//! One query as the coordinator sees it: text, session, state, statistics, cancellation.
