//! Values of constant expressions.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use datafusion::physical_plan::collect;
use waterbear_dialect::{ParsedQuery, PropertyKind, Statement, plan_query, session_property};
use waterbear_functions::failure_of;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use super::SessionScope;

/// The value of an expression.
pub(super) struct Constant {
    pub trino_type: TrinoType,
    /// One value, which may be NULL.
    pub value: ArrayRef,
}

/// Evaluates a query of one row and column.
pub(super) async fn evaluate(
    query: &ParsedQuery,
    scope: SessionScope<'_>,
) -> Result<Constant, Failure> {
    let planned = plan_query(&Statement::Query(query.clone()), scope.state, scope.context).await?;
    let failure = |error| failure_of(&error);
    let plan = scope.state.create_physical_plan(&planned.plan).await.map_err(failure)?;
    let batches = collect(plan, scope.state.task_ctx()).await.map_err(failure)?;
    let batch = batches.iter().find(|batch| batch.num_rows() == 1 && batch.num_columns() == 1);
    let Some(batch) = batch else {
        let message = "a constant has not one value";
        return Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, message));
    };
    let trino_type = TrinoType::of_field(batch.schema_ref().field(0))?;
    Ok(Constant { trino_type, value: batch.column(0).clone() })
}

impl Constant {
    /// The text of a string; nothing for other types.
    pub(super) fn text(&self) -> Option<String> {
        if !matches!(self.trino_type, TrinoType::Varchar(_)) || self.value.is_null(0) {
            return None;
        }
        let text = cast(&self.value, &DataType::Utf8).ok()?;
        Some(text.as_string::<i32>().value(0).to_owned())
    }

    /// The value of a session property in its text form.
    ///
    /// # Errors
    /// INVALID_SESSION_PROPERTY for NULL and for values of another type.
    pub(super) fn property_value(&self, property: &str) -> Result<String, Failure> {
        let invalid = |text: String| Failure::new(ErrorCode::INVALID_SESSION_PROPERTY, text);
        if self.value.is_null(0) {
            return Err(invalid("Session property value must not be null".to_owned()));
        }
        let kind = session_property(property).map(|property| property.kind);
        let found = match kind {
            Some(PropertyKind::Boolean) => {
                self.value.as_boolean_opt().map(|value| value.value(0).to_string())
            }
            Some(PropertyKind::Integer(_)) if self.value.data_type().is_integer() => {
                let number = cast(&self.value, &DataType::Int64).ok();
                number.map(|number| number.as_primitive::<Int64Type>().value(0).to_string())
            }
            Some(PropertyKind::Integer(_)) => None,
            _ => self.text(),
        };
        found.ok_or_else(|| {
            let shown = array_value_to_string(&self.value, 0).unwrap_or_default();
            let expected = kind.map_or("varchar", PropertyKind::sql_type);
            invalid(format!(
                "Unable to set session property '{property}' to '{shown}': \
                 Cannot cast type {} to {expected}",
                self.trino_type.listing()
            ))
        })
    }
}
