//! What runs again after a failure.

/// A retry policy (`retry-policy`, session `retry_policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryPolicy {
    /// Nothing: a failure fails the query.
    None,
    /// The query.
    Query,
    /// The task.
    Task,
}

impl RetryPolicy {
    /// The name, as in properties.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Query => "QUERY",
            Self::Task => "TASK",
        }
    }

    /// Reads a name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::None, Self::Query, Self::Task];
        all.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        for policy in [RetryPolicy::None, RetryPolicy::Query, RetryPolicy::Task] {
            assert_eq!(RetryPolicy::parse(&policy.name().to_lowercase()), Some(policy));
        }
        assert_eq!(RetryPolicy::parse("TASKS"), None);
    }
}
