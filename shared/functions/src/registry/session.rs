//! What a session and its server are.

use super::{Function, scalar};

pub(super) const FUNCTIONS: &[Function] = &[
    scalar("current_catalog", "", "varchar", "The session's catalog").special(),
    scalar("current_groups", "", "array(varchar)", "Current groups"),
    scalar("current_path", "", "varchar", "The session's path"),
    scalar("current_role", "", "varchar", "The session's role"),
    scalar("current_schema", "", "varchar", "The session's schema").special(),
    scalar("current_user", "", "varchar", "The session's user").special(),
    scalar("typeof", "T", "varchar", "Textual representation of expression type"),
    scalar("version", "", "varchar", "Return server version").special(),
];
