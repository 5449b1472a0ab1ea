//! Random queries over the tables of the catalog `corpus`: the same ones for the same seed.
//!
//! Every query has one right multiset of rows, whatever the plan: orders are total where they
//! decide something, doubles are sums of quarters, and nothing can overflow or divide by zero.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// What a column can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Truth,
}

/// A column in scope, as it is written.
#[derive(Debug, Clone)]
struct Column {
    text: String,
    kind: Kind,
}

/// A table or subquery in FROM.
struct Relation {
    from: String,
    columns: Vec<Column>,
    /// Columns that together tell all rows apart.
    key: Vec<String>,
}

const TABLES: [(&str, &[(&str, Kind)]); 5] = [
    (
        "fact",
        &[
            ("id", Kind::Number),
            ("k", Kind::Number),
            ("v", Kind::Number),
            ("s", Kind::Text),
            ("b", Kind::Truth),
        ],
    ),
    (
        "dim",
        &[("id", Kind::Number), ("k", Kind::Number), ("name", Kind::Text), ("w", Kind::Number)],
    ),
    (
        "none",
        &[("id", Kind::Number), ("k", Kind::Number), ("name", Kind::Text), ("w", Kind::Number)],
    ),
    ("nulls", &[("id", Kind::Number), ("k", Kind::Number), ("v", Kind::Number)]),
    ("single", &[("id", Kind::Number), ("k", Kind::Number), ("v", Kind::Number)]),
];

/// Makes queries.
pub struct Random {
    random: StdRng,
    /// Aliases given so far.
    aliases: u32,
}

impl Random {
    /// The queries of a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), aliases: 0 }
    }

    /// The next query.
    pub fn query(&mut self) -> String {
        self.aliases = 0;
        match self.random.random_range(0..10) {
            0 => self.set_operation(),
            1 => self.with(),
            _ => self.select(2, false).0,
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_range(0..n) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        match from.choose(&mut self.random) {
            Some(picked) => picked,
            None => unreachable!("nothing to choose from"),
        }
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    fn set_operation(&mut self) -> String {
        let mut terms = Vec::new();
        for _ in 0..self.random.random_range(2..4) {
            let relation = self.relation(1);
            let filter = self.filter(&relation.columns, 0);
            let column = self.of_kind(&relation.columns, Kind::Number);
            terms.push(format!("SELECT {column} AS x FROM {}{filter}", relation.from));
        }
        let mut text = terms.remove(0);
        for term in terms {
            let operator = *self.pick(&["UNION ALL", "UNION", "INTERSECT", "EXCEPT"]);
            text = format!("{text} {operator} {term}");
        }
        match self.random.random_range(0..3) {
            0 => text,
            1 => format!("SELECT x, count(*) FROM ({text}) u GROUP BY x"),
            _ => format!("SELECT count(*), sum(x) FROM ({text}) u"),
        }
    }

    fn with(&mut self) -> String {
        let (inner, columns) = self.select(1, true);
        let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
        let on = match columns.iter().position(|kind| *kind == Kind::Number) {
            Some(at) => format!("x.c{at} = y.c{at}"),
            None => "true".to_owned(),
        };
        let join = *self.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
        let join = if on == "true" { "JOIN" } else { join };
        format!(
            "WITH w({}) AS ({inner}) SELECT count(*), count(x.c0), count(y.c0) \
             FROM w x {join} w y ON {on}",
            names.join(", ")
        )
    }

    /// A SELECT and the kinds of its columns; no window and no limit `within` others.
    fn select(&mut self, depth: u32, within: bool) -> (String, Vec<Kind>) {
        let relation = self.relation(depth);
        let filter = self.filter(&relation.columns, depth);
        match self.random.random_range(0..8) {
            0..3 => self.aggregate(&relation, &filter),
            3 if !within => self.window(&relation, &filter),
            4 if !within => self.top(&relation, &filter),
            5 => self.distinct(&relation, &filter),
            6 => {
                let column = self.of_kind(&relation.columns, Kind::Number);
                let from = &relation.from;
                let text =
                    format!("SELECT count(*), sum({column}), min({column}) FROM {from}{filter}");
                (text, vec![Kind::Number; 3])
            }
            _ => {
                let mut items = Vec::new();
                let mut kinds = Vec::new();
                for _ in 0..self.random.random_range(1..4) {
                    let column = self.pick(&relation.columns).clone();
                    items.push(column.text);
                    kinds.push(column.kind);
                }
                if depth > 0 && self.one_in(4) {
                    items.push(self.scalar(&relation.columns));
                    kinds.push(Kind::Number);
                }
                let items = named(&items);
                (format!("SELECT {items} FROM {}{filter}", relation.from), kinds)
            }
        }
    }

    fn aggregate(&mut self, relation: &Relation, filter: &str) -> (String, Vec<Kind>) {
        let mut keys = Vec::new();
        let mut kinds = Vec::new();
        for _ in 0..self.random.random_range(1..3) {
            let column = self.pick(&relation.columns).clone();
            if !keys.contains(&column.text) {
                keys.push(column.text);
                kinds.push(column.kind);
            }
        }
        let by = keys.join(", ");
        let by = match self.random.random_range(0..6) {
            0 => format!("ROLLUP ({by})"),
            1 => format!("CUBE ({by})"),
            2 => format!("GROUPING SETS (({by}), ({}), ())", keys[0]),
            _ => by,
        };
        let column = self.of_kind(&relation.columns, Kind::Number);
        let aggregates = [
            "count(*)".to_owned(),
            format!("sum({column})"),
            format!("count(DISTINCT {column})"),
            format!("min({column})"),
            format!("max({column})"),
            format!("avg({column})"),
            format!("count({column}) FILTER (WHERE {})", self.condition(&relation.columns, 0)),
        ];
        let aggregate = self.pick(&aggregates).clone();
        kinds.push(Kind::Number);
        let having = match self.random.random_range(0..4) {
            0 => format!(" HAVING count(*) > {}", self.random.random_range(0..20)),
            1 => format!(" HAVING max({column}) > {}", self.random.random_range(-20..40)),
            _ => String::new(),
        };
        let items = keys.into_iter().chain([aggregate]).collect::<Vec<_>>();
        let items = named(&items);
        (format!("SELECT {items} FROM {}{filter} GROUP BY {by}{having}", relation.from), kinds)
    }

    fn window(&mut self, relation: &Relation, filter: &str) -> (String, Vec<Kind>) {
        let key = relation.key.join(", ");
        let partition = match self.one_in(3) {
            true => String::new(),
            false => format!("PARTITION BY {} ", self.pick(&relation.columns).text),
        };
        let column = self.of_kind(&relation.columns, Kind::Number);
        let direction = *self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS FIRST"]);
        let order = format!("ORDER BY {column}{direction}, {key}");
        let functions = [
            format!("row_number() OVER ({partition}{order})"),
            format!("rank() OVER ({partition}ORDER BY {column}{direction})"),
            format!("dense_rank() OVER ({partition}ORDER BY {column}{direction})"),
            format!("sum({column}) OVER ({partition}{order})"),
            format!("sum({column}) OVER ({partition}ORDER BY {column}{direction})"),
            format!("count(*) OVER ({})", partition.trim_end()),
            format!("lag({column}) OVER ({partition}{order})"),
            format!("lead({column}, 2) OVER ({partition}{order})"),
            format!("first_value({column}) OVER ({partition}{order})"),
            format!(
                "max({column}) OVER ({partition}{order} ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING)"
            ),
            format!("sum({column}) FILTER (WHERE {column} > 3) OVER ({partition}{order})"),
        ];
        let function = self.pick(&functions).clone();
        let from = &relation.from;
        match self.random.random_range(0..3) {
            0 => {
                let text = format!(
                    "SELECT count(*), sum(f), min(f), max(f) FROM \
                     (SELECT {function} AS f FROM {from}{filter}) q"
                );
                (text, vec![Kind::Number; 4])
            }
            1 => {
                let limit = self.random.random_range(1..4);
                let text = format!(
                    "SELECT r, c, count(*) FROM (SELECT row_number() OVER ({partition}{order}) \
                     AS r, {column} AS c FROM {from}{filter}) q WHERE r <= {limit} GROUP BY r, c"
                );
                (text, vec![Kind::Number; 3])
            }
            _ => {
                let items = named(&[relation.key[0].clone(), function]);
                (format!("SELECT {items} FROM {from}{filter}"), vec![Kind::Number; 2])
            }
        }
    }

    fn top(&mut self, relation: &Relation, filter: &str) -> (String, Vec<Kind>) {
        let column = self.pick(&relation.columns).text.clone();
        let direction = *self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS FIRST"]);
        let key = relation.key.join(", ");
        let limit = self.random.random_range(0..25);
        let offset = match self.one_in(3) {
            true => format!(" OFFSET {}", self.random.random_range(0..30)),
            false => String::new(),
        };
        let items = named(&[column.clone(), relation.key[0].clone()]);
        let text = format!(
            "SELECT {items} FROM {}{filter} ORDER BY {column}{direction}, {key}{offset} \
             LIMIT {limit}",
            relation.from
        );
        (text, vec![Kind::Number; 2])
    }

    fn distinct(&mut self, relation: &Relation, filter: &str) -> (String, Vec<Kind>) {
        let mut items = Vec::new();
        let mut kinds = Vec::new();
        for _ in 0..self.random.random_range(1..3) {
            let column = self.pick(&relation.columns).clone();
            items.push(column.text);
            kinds.push(column.kind);
        }
        let items = named(&items);
        (format!("SELECT DISTINCT {items} FROM {}{filter}", relation.from), kinds)
    }

    /// One or several tables and subqueries, joined.
    fn relation(&mut self, depth: u32) -> Relation {
        let mut relation = self.table(depth);
        for _ in 0..self.random.random_range(0..=depth.min(2)) {
            let other = self.table(depth.saturating_sub(1));
            relation = self.join(relation, other);
        }
        relation
    }

    fn join(&mut self, left: Relation, right: Relation) -> Relation {
        let one = self.of_kind(&left.columns, Kind::Number);
        let other = self.of_kind(&right.columns, Kind::Number);
        let both: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
        let on = match self.random.random_range(0..8) {
            0 => format!("{one} = {other} AND {}", self.condition(&both, 0)),
            1 => format!("{one} = {other} AND {}", self.condition(&left.columns, 0)),
            2 => format!("{one} = {other} AND {}", self.condition(&right.columns, 0)),
            3 => format!("{one} = {other} + {}", self.random.random_range(-3..4)),
            4 => format!("{one} IS NOT DISTINCT FROM {other} AND {one} < 5"),
            5 => format!("{one} < {other} AND {other} < 12"),
            _ => format!("{one} = {other}"),
        };
        let kind = *self.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        Relation {
            from: format!("{} {kind} {} ON {on}", left.from, right.from),
            columns: both,
            key: left.key.into_iter().chain(right.key).collect(),
        }
    }

    fn table(&mut self, depth: u32) -> Relation {
        let alias = self.alias();
        let number = self.random.random_range(0..10);
        if number == 9 && depth > 0 {
            return self.derived(&alias, depth - 1);
        }
        // The larger tables more often.
        let (name, columns) = TABLES[[0, 0, 0, 1, 1, 1, 2, 3, 4, 1][number]];
        // A join of two large tables by a skewed key gives too many rows to compare quickly.
        let from = match (name, self.one_in(2)) {
            ("fact", true) => {
                format!("(SELECT * FROM corpus.data.fact WHERE id % 7 = 1) {alias}")
            }
            _ => format!("corpus.data.{name} {alias}"),
        };
        let column =
            |(name, kind): &(&str, Kind)| Column { text: format!("{alias}.{name}"), kind: *kind };
        Relation {
            from,
            columns: columns.iter().map(column).collect(),
            key: vec![format!("{alias}.id")],
        }
    }

    /// A subquery in FROM: groups, so that their keys tell them apart.
    fn derived(&mut self, alias: &str, depth: u32) -> Relation {
        let relation = self.relation(depth.min(1));
        let filter = self.filter(&relation.columns, 0);
        let key = self.of_kind(&relation.columns, Kind::Number);
        let value = self.of_kind(&relation.columns, Kind::Number);
        let from = format!(
            "(SELECT {key} AS k, count(*) AS n, sum({value}) AS v FROM {}{filter} GROUP BY {key}) \
             {alias}",
            relation.from
        );
        let column = |name: &str| Column { text: format!("{alias}.{name}"), kind: Kind::Number };
        Relation {
            from,
            columns: ["k", "n", "v"].map(column).into(),
            key: vec![format!("{alias}.k"), format!("{alias}.n")],
        }
    }

    fn of_kind(&mut self, columns: &[Column], kind: Kind) -> String {
        let fitting: Vec<&Column> = columns.iter().filter(|column| column.kind == kind).collect();
        self.pick(&fitting).text.clone()
    }

    fn filter(&mut self, columns: &[Column], depth: u32) -> String {
        if self.one_in(3) {
            return String::new();
        }
        format!(" WHERE {}", self.condition(columns, depth))
    }

    fn condition(&mut self, columns: &[Column], depth: u32) -> String {
        match self.random.random_range(0..8) {
            0 => format!(
                "({} AND {})",
                self.condition(columns, depth),
                self.condition(columns, depth)
            ),
            1 => format!(
                "({} OR {})",
                self.condition(columns, depth),
                self.condition(columns, depth)
            ),
            2 => format!("NOT ({})", self.condition(columns, depth)),
            3 if depth > 0 => self.with_subquery(columns, depth - 1),
            _ => self.comparison(columns),
        }
    }

    fn comparison(&mut self, columns: &[Column]) -> String {
        let column = self.pick(columns).clone();
        let text = column.text;
        if self.one_in(4) {
            return format!("{text} IS {}NULL", self.pick(&["", "NOT "]));
        }
        match column.kind {
            Kind::Truth => text,
            Kind::Text => match self.random.random_range(0..3) {
                0 => format!("{text} LIKE '%1'"),
                1 => format!("{text} IN ('s1', 's2', 'n3', '')"),
                _ => format!("{text} > 's12'"),
            },
            Kind::Number => {
                let other = match self.one_in(3) {
                    true => self.of_kind(columns, Kind::Number),
                    false => self.random.random_range(-30..60).to_string(),
                };
                match self.random.random_range(0..4) {
                    0 => format!("{text} BETWEEN {other} AND {other} + 20"),
                    1 => format!("{text} IN (1, 2, 7, 12, 40)"),
                    2 => format!("{text} IS DISTINCT FROM {other}"),
                    _ => {
                        format!("{text} {} {other}", self.pick(&["<", ">", "=", "<>", "<=", ">="]))
                    }
                }
            }
        }
    }

    fn with_subquery(&mut self, columns: &[Column], depth: u32) -> String {
        let inner = self.table(0);
        let outer = self.of_kind(columns, Kind::Number);
        let own = self.of_kind(&inner.columns, Kind::Number);
        let filter = self.condition(&inner.columns, depth.min(1));
        let from = &inner.from;
        let not = *self.pick(&["", "NOT "]);
        match self.random.random_range(0..6) {
            0 => format!("{outer} {not}IN (SELECT {own} FROM {from} WHERE {filter})"),
            1 => {
                let other = self.of_kind(columns, Kind::Number);
                let second = self.of_kind(&inner.columns, Kind::Number);
                format!(
                    "{outer} {not}IN (SELECT {own} FROM {from} WHERE {second} = {other} AND {filter})"
                )
            }
            2 => format!("{not}EXISTS (SELECT 1 FROM {from} WHERE {own} = {outer} AND {filter})"),
            3 => format!("{not}EXISTS (SELECT 1 FROM {from} WHERE {own} > {outer} AND {filter})"),
            4 => format!("{outer} > (SELECT avg({own}) FROM {from} WHERE {filter})"),
            _ => format!("{outer} >= {}", self.scalar(columns)),
        }
    }

    /// A scalar subquery that depends on the row around it.
    fn scalar(&mut self, columns: &[Column]) -> String {
        let inner = self.table(0);
        let outer = self.of_kind(columns, Kind::Number);
        let own = self.of_kind(&inner.columns, Kind::Number);
        let value = self.of_kind(&inner.columns, Kind::Number);
        let aggregate = *self.pick(&["count(*)", "max", "min", "sum"]);
        let aggregate = match aggregate {
            "count(*)" => aggregate.to_owned(),
            name => format!("{name}({value})"),
        };
        format!("(SELECT {aggregate} FROM {} WHERE {own} = {outer})", inner.from)
    }
}

/// Items with names that differ.
fn named(items: &[String]) -> String {
    let items = items.iter().enumerate().map(|(at, item)| format!("{item} AS o{at}"));
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_queries() {
        let queries = |seed| {
            let mut random = Random::new(seed);
            (0..200).map(|_| random.query()).collect::<Vec<_>>()
        };
        assert_eq!(queries(7), queries(7));
        assert_ne!(queries(7), queries(8));
        for part in ["FULL JOIN", "NOT IN", "EXISTS", "ROLLUP", "OVER", "LIMIT", "UNION", "WITH"] {
            assert!(queries(7).iter().any(|query| query.contains(part)), "no {part}");
        }
    }
}
