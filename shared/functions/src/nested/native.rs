//! Scalar functions as rows of a table: name, types, kernel.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::{cast, unexpected};

/// What a call means: the types that its arguments are cast to, and the field of its result.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub arguments: Vec<DataType>,
    pub result: FieldRef,
}

impl Resolved {
    /// A result of a plain type.
    pub fn new(arguments: Vec<DataType>, result: DataType) -> Option<Self> {
        Some(Self { arguments, result: Arc::new(Field::new("result", result, true)) })
    }

    /// A result of the type and with the notes of `like`.
    pub fn like(arguments: Vec<DataType>, like: &Field) -> Option<Self> {
        let field = Field::new("result", like.data_type().clone(), true);
        let result = Arc::new(field.with_metadata(like.metadata().clone()));
        Some(Self { arguments, result })
    }
}

/// A function.
pub(crate) struct Def {
    pub name: &'static str,
    /// The meaning of a call with arguments of these types, of which some are constants; None
    /// when the function does not take them.
    pub resolve: fn(&[DataType], &[Option<&ScalarValue>]) -> Option<Resolved>,
    /// The result for arguments of the resolved types, all of the same length; the field is the
    /// result's. Without arguments the result has one row.
    pub invoke: fn(&[ArrayRef], &Field) -> Result<ArrayRef>,
    pub volatile: bool,
}

/// The functions of a table.
pub(crate) fn family(defs: &'static [Def]) -> Vec<Arc<ScalarUDF>> {
    defs.iter().map(|def| Arc::new(ScalarUDF::new_from_impl(Native::new(def)))).collect()
}

struct Native {
    def: &'static Def,
    signature: Signature,
}

impl Native {
    fn new(def: &'static Def) -> Self {
        let volatility = if def.volatile { Volatility::Volatile } else { Volatility::Immutable };
        let any = vec![TypeSignature::VariadicAny, TypeSignature::Nullary];
        Self { def, signature: Signature::one_of(any, volatility) }
    }

    fn resolve(&self, fields: &[FieldRef], constants: &[Option<&ScalarValue>]) -> Result<Resolved> {
        let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        (self.def.resolve)(&types, constants).ok_or_else(|| unexpected(self.def.name, &types))
    }
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.def.name)
    }
}

impl PartialEq for Native {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name
    }
}

impl Eq for Native {}

impl Hash for Native {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.def.name.hash(state);
    }
}

impl ScalarUDFImpl for Native {
    fn name(&self) -> &str {
        self.def.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{} has the type of its field", self.def.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(self.resolve(args.arg_fields, args.scalar_arguments)?.result)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants: Vec<Option<&ScalarValue>> = args
            .args
            .iter()
            .map(|value| match value {
                ColumnarValue::Scalar(scalar) => Some(scalar),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let resolved = self.resolve(&args.arg_fields, &constants)?;
        let constant = !self.def.volatile
            && args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .into_iter()
            .zip(&resolved.arguments)
            .map(|(value, data_type)| cast(&value.into_array(rows)?, data_type))
            .collect::<Result<Vec<_>>>()?;
        let result = (self.def.invoke)(&arrays, &args.return_field)?;
        let result = cast(&result, args.return_field.data_type())?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
