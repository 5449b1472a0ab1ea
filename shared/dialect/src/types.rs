//! What a plan's columns are called in Trino: the lengths of texts, which Arrow's types do not say,
//! follow from the plan.

use arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunctionParams, ScalarFunction};
use datafusion::logical_expr::{
    Case, Distinct, Expr, ExprSchemable, LogicalPlan, WindowFunctionDefinition,
};
use waterbear_functions::cast::Target;
use waterbear_functions::coercion::is_text;
use waterbear_types::TrinoType;

/// Functions whose result is of the type of their first argument.
const LIKE_THEIR_ARGUMENT: &[&str] = &[
    "any_value",
    "arbitrary",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "lower",
    "ltrim",
    "max",
    "min",
    "nth_value",
    "nullif",
    "reverse",
    "rtrim",
    "substr",
    "substring",
    "trim",
    "try",
    "upper",
];

/// From how many of a function's first arguments the length of its result follows.
pub(crate) fn length_follows(name: &str) -> usize {
    match name {
        "coalesce" | "greatest" | "if" | "least" | "typeof" => usize::MAX,
        name => usize::from(LIKE_THEIR_ARGUMENT.contains(&name)),
    }
}

/// Below this depth of a plan texts are of any length.
const MAX_DEPTH: usize = 200;

/// The Trino types of a plan's columns; `None` for those that have none.
pub(crate) fn of_plan(plan: &LogicalPlan) -> Vec<Option<TrinoType>> {
    columns(plan, 0)
}

fn columns(plan: &LogicalPlan, depth: usize) -> Vec<Option<TrinoType>> {
    let derived = if depth > MAX_DEPTH { None } else { derive(plan, depth) };
    let derived = derived.unwrap_or_default();
    let fields = plan.schema().fields();
    let fits = derived.len() == fields.len();
    let column = |(position, field): (usize, &std::sync::Arc<Field>)| {
        let known = derived.get(position).filter(|_| fits).cloned().flatten();
        let known = known.filter(|known| *known != TrinoType::Plain("unknown"));
        known.filter(|_| is_text(field.data_type())).or_else(|| TrinoType::of_field(field).ok())
    };
    fields.iter().enumerate().map(column).collect()
}

/// The types of texts among a plan's columns, where they are known.
fn derive(plan: &LogicalPlan, depth: usize) -> Option<Vec<Option<TrinoType>>> {
    Some(match plan {
        LogicalPlan::Projection(projection) => all(&projection.expr, &Scope::within(plan, depth)),
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_))
        | LogicalPlan::SubqueryAlias(_) => columns(plan.inputs().first()?, depth + 1),
        LogicalPlan::Aggregate(aggregate) => {
            let scope = Scope::within(plan, depth);
            let mut types = all(&aggregate.group_expr, &scope);
            types.extend(all(&aggregate.aggr_expr, &scope));
            types
        }
        LogicalPlan::Window(window) => {
            let mut types = columns(&window.input, depth + 1);
            types.extend(all(&window.window_expr, &Scope::within(plan, depth)));
            types
        }
        LogicalPlan::Join(join) => {
            let mut types = columns(&join.left, depth + 1);
            types.extend(columns(&join.right, depth + 1));
            types
        }
        LogicalPlan::Union(union) => {
            let branches: Vec<_> =
                union.inputs.iter().map(|input| columns(input, depth + 1)).collect();
            let width = plan.schema().fields().len();
            let column = |at: usize| meet(branches.iter().map(|branch| branch.get(at).cloned()?));
            (0..width).map(column).collect()
        }
        LogicalPlan::Values(values) => {
            let scope = Scope::within(plan, depth);
            let width = plan.schema().fields().len();
            let column =
                |at: usize| meet(values.values.iter().map(|row| scope.of_expr(row.get(at)?)));
            (0..width).map(column).collect()
        }
        _ => return None,
    })
}

fn all(exprs: &[Expr], scope: &Scope) -> Vec<Option<TrinoType>> {
    exprs.iter().map(|expr| scope.of_expr(expr)).collect()
}

/// The type of values that come from several places. NULLs have no say.
fn meet(types: impl Iterator<Item = Option<TrinoType>>) -> Option<TrinoType> {
    let mut common: Option<TrinoType> = None;
    for one in types {
        common = Some(match (common, one?) {
            (None, one) => one,
            (Some(common), TrinoType::Plain("unknown")) => common,
            (Some(TrinoType::Plain("unknown")), one) => one,
            (Some(TrinoType::Varchar(a)), TrinoType::Varchar(b)) => {
                TrinoType::Varchar(a.zip(b).map(|(a, b)| a.max(b)))
            }
            (Some(TrinoType::Char(a)), TrinoType::Char(b)) => TrinoType::Char(a.max(b)),
            (Some(common), one) if common == one => common,
            _ => return None,
        });
    }
    common
}

/// The columns that expressions of one node see.
pub(crate) struct Scope {
    inputs: Vec<(DFSchemaRef, Vec<Option<TrinoType>>)>,
}

impl Scope {
    /// What the expressions of `plan` itself see.
    pub fn of(plan: &LogicalPlan) -> Self {
        Self::within(plan, 0)
    }

    fn within(plan: &LogicalPlan, depth: usize) -> Self {
        let inputs = plan.inputs().into_iter();
        let inputs = inputs.map(|input| (input.schema().clone(), columns(input, depth + 1)));
        Self { inputs: inputs.collect() }
    }

    /// The Trino type of an expression, lengths of texts included.
    pub fn of_expr(&self, expr: &Expr) -> Option<TrinoType> {
        match expr {
            Expr::Alias(alias) => self.of_expr(&alias.expr),
            Expr::Column(column) => self.inputs.iter().find_map(|(schema, types)| {
                let position = schema.maybe_index_of_column(column)?;
                types.get(position).cloned().flatten()
            }),
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                Some(TrinoType::Varchar(u32::try_from(text.chars().count()).ok()))
            }
            Expr::Literal(value, _) if value.is_null() => Some(TrinoType::Plain("unknown")),
            Expr::Cast(cast) if is_text(cast.field.data_type()) => {
                self.of_expr(&cast.expr).filter(|from| {
                    matches!(
                        from,
                        TrinoType::Varchar(_) | TrinoType::Char(_) | TrinoType::Plain("unknown")
                    )
                })
            }
            Expr::Case(case) => self.of_case(case),
            Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
                "$cast" | "$try_cast" => match args.get(1) {
                    Some(Expr::Literal(ScalarValue::Utf8(Some(to)), _)) => {
                        Target::parse(to).map(|target| target.trino_type())
                    }
                    _ => None,
                },
                "coalesce" | "greatest" | "least" => meet(args.iter().map(|arg| self.of_expr(arg))),
                name if LIKE_THEIR_ARGUMENT.contains(&name) => self.of_expr(args.first()?),
                _ => self.of_field(expr),
            },
            Expr::AggregateFunction(aggregate) => {
                let AggregateFunctionParams { args, .. } = &aggregate.params;
                match LIKE_THEIR_ARGUMENT.contains(&aggregate.func.name()) {
                    true => self.of_expr(args.first()?),
                    false => self.of_field(expr),
                }
            }
            Expr::WindowFunction(window) => {
                let name = match &window.fun {
                    WindowFunctionDefinition::AggregateUDF(function) => function.name(),
                    WindowFunctionDefinition::WindowUDF(function) => function.name(),
                };
                let args = &window.params.args;
                match (name, args.as_slice()) {
                    // The default has a say.
                    ("lag" | "lead", [value, _, default]) => {
                        meet([value, default].into_iter().map(|arg| self.of_expr(arg)))
                    }
                    _ if LIKE_THEIR_ARGUMENT.contains(&name) => self.of_expr(args.first()?),
                    _ => self.of_field(expr),
                }
            }
            Expr::ScalarSubquery(subquery) => of_plan(&subquery.subquery).into_iter().next()?,
            _ => self.of_field(expr),
        }
    }

    fn of_case(&self, case: &Case) -> Option<TrinoType> {
        let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
        let results = results.chain(case.else_expr.as_deref());
        meet(results.map(|result| self.of_expr(result)))
    }

    /// What the expression's field says.
    fn of_field(&self, expr: &Expr) -> Option<TrinoType> {
        let mut schema = DFSchema::empty();
        for (input, _) in &self.inputs {
            schema.merge(input);
        }
        let field = expr.to_field(&schema).ok()?.1;
        TrinoType::of_field(&field).ok()
    }
}
