//! What happened how often: a simulation in which nothing happens proves nothing.

use crate::state::Cause;

macro_rules! tally {
    ($($name:ident),* $(,)?) => {
        /// What happened how often.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub struct Tally {
            $(pub $name: u64,)*
        }

        impl Tally {
            /// Adds another one's numbers.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// All numbers by their names.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

tally! {
    done, failed, rows_gone, no_nodes, calls, cancelled, attempts, hedges, created, commits,
    second_commits, late_commits, lost_answers, asked, input_lost, input_missing, results_lost,
    given_lost, drained_failures, misplaced, leases, abandoned, leftovers, swept,
    lost, moved, nodes_lost, false_losses, nodes_back, killed, frozen, silent, broken,
    user, internal, external, memory, inputs, moved_or_left, gone,
}

impl Tally {
    pub(crate) fn note(&mut self, cause: &Cause) {
        *match cause {
            Cause::User => &mut self.user,
            Cause::Internal => &mut self.internal,
            Cause::External => &mut self.external,
            Cause::Memory(_) => &mut self.memory,
            Cause::Lost(_) => &mut self.inputs,
            Cause::Abandoned => &mut self.moved_or_left,
            Cause::Node => &mut self.gone,
        } += 1;
    }
}
