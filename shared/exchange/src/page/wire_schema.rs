//! The schema of pages on the wire: the plan's, with dictionaries unpacked.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

/// The schema that pages of `schema` have on the wire; the same one when it has no dictionary.
pub(super) fn wire_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(wire_field).collect();
    let changed = fields.iter().zip(schema.fields()).any(|(wire, field)| !Arc::ptr_eq(wire, field));
    if !changed {
        return Arc::clone(schema);
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn wire_field(field: &FieldRef) -> FieldRef {
    match unpacked(field.data_type()) {
        Some(data_type) => {
            let wire = Field::new(field.name(), data_type, field.is_nullable());
            Arc::new(wire.with_metadata(field.metadata().clone()))
        }
        None => Arc::clone(field),
    }
}

/// The type without dictionaries, or nothing when it has none that can be unpacked.
fn unpacked(data_type: &DataType) -> Option<DataType> {
    let changed = |field: &FieldRef| {
        let wire = wire_field(field);
        (!Arc::ptr_eq(&wire, field)).then_some(wire)
    };
    match data_type {
        DataType::Dictionary(_, values) => {
            Some(unpacked(values).unwrap_or_else(|| values.as_ref().clone()))
        }
        DataType::List(field) => changed(field).map(DataType::List),
        DataType::LargeList(field) => changed(field).map(DataType::LargeList),
        DataType::FixedSizeList(field, size) => {
            changed(field).map(|field| DataType::FixedSizeList(field, *size))
        }
        DataType::Map(field, sorted) => changed(field).map(|field| DataType::Map(field, *sorted)),
        DataType::Struct(fields) => {
            let wire: Vec<FieldRef> = fields.iter().map(wire_field).collect();
            let any = wire.iter().zip(fields).any(|(wire, field)| !Arc::ptr_eq(wire, field));
            any.then(|| DataType::Struct(wire.into()))
        }
        _ => None,
    }
}

/// True when a dictionary is left anywhere in the type, which then cannot be sent.
pub(super) fn has_dictionary(data_type: &DataType) -> bool {
    any_type(data_type, &|data_type| matches!(data_type, DataType::Dictionary(_, _)))
}

/// How many columns of string or binary views the schema has, nested ones included.
pub(super) fn view_columns(schema: &Schema) -> usize {
    fn count(data_type: &DataType) -> usize {
        let own = usize::from(matches!(data_type, DataType::Utf8View | DataType::BinaryView));
        own + children(data_type).iter().map(|field| count(field.data_type())).sum::<usize>()
    }
    schema.fields().iter().map(|field| count(field.data_type())).sum()
}

/// True when a column of string or binary views is anywhere in the type.
pub(super) fn has_views(data_type: &DataType) -> bool {
    any_type(data_type, &|data_type| matches!(data_type, DataType::Utf8View | DataType::BinaryView))
}

fn any_type(data_type: &DataType, predicate: &dyn Fn(&DataType) -> bool) -> bool {
    predicate(data_type)
        || children(data_type).iter().any(|field| any_type(field.data_type(), predicate))
}

fn children(data_type: &DataType) -> Vec<&FieldRef> {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => vec![field],
        DataType::Struct(fields) => fields.iter().collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field).collect(),
        DataType::RunEndEncoded(ends, values) => vec![ends, values],
        _ => Vec::new(),
    }
}
