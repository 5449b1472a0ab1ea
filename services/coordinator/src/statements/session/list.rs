//! SHOW SESSION.

use waterbear_dialect::{ClientContext, LikePattern, SESSION_PROPERTIES};
use waterbear_protocol::Failure;

use super::super::show::text_rows;
use crate::query::Output;

/// All properties with the session's values.
pub(super) fn show(like: Option<&LikePattern>, context: &ClientContext) -> Result<Output, Failure> {
    let mut columns: [Vec<String>; 5] = Default::default();
    let shown = SESSION_PROPERTIES
        .iter()
        .filter(|property| like.is_none_or(|like| like.matches(property.name)));
    for property in shown {
        let set = context.session_properties.get(property.name);
        let row = [
            property.name,
            set.map_or(property.default, String::as_str),
            property.default,
            property.kind.sql_type(),
            property.description,
        ];
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value.to_owned());
        }
    }
    text_rows(&["Name", "Value", "Default", "Type", "Description"], columns.into())
}
