//! The columns of each table, in order, with the types of Trino's tpch connector.

use super::schema::{Definition, Domain, Kind, Table};
use Domain::{Between, Distinct, Few, KeyOf, OrderKey};

const NATIONS: Domain = Between(0, 24);
const REGIONS: Domain = Between(0, 4);

// Days since 1970 of 1992-01-01 and of the last order, 1998-08-02.
const FIRST_ORDER: i64 = 8035;
const LAST_ORDER: i64 = 10_440;

const fn bigint(name: &'static str, domain: Domain) -> Definition {
    Definition { name, kind: Kind::Bigint, domain }
}

const fn integer(name: &'static str, low: i64, high: i64) -> Definition {
    Definition { name, kind: Kind::Integer, domain: Between(low, high) }
}

/// Bounds in hundredths.
const fn double(name: &'static str, low: i64, high: i64) -> Definition {
    Definition { name, kind: Kind::Double, domain: Between(low, high) }
}

/// Bounds in days after the first and the last order.
const fn date(name: &'static str, low: i64, high: i64) -> Definition {
    let domain = Between(FIRST_ORDER + low, LAST_ORDER + high);
    Definition { name, kind: Kind::Date, domain }
}

const fn varchar(name: &'static str, longest: u16, average: u16, domain: Domain) -> Definition {
    Definition { name, kind: Kind::Varchar(longest, average), domain }
}

const CUSTOMER: &[Definition] = &[
    bigint("c_custkey", KeyOf(Table::Customer)),
    varchar("c_name", 25, 18, Distinct),
    varchar("c_address", 40, 25, Distinct),
    bigint("c_nationkey", NATIONS),
    varchar("c_phone", 15, 15, Distinct),
    double("c_acctbal", -99_999, 999_999),
    varchar("c_mktsegment", 10, 9, Few(5)),
    varchar("c_comment", 117, 73, Distinct),
];

const LINEITEM: &[Definition] = &[
    bigint("l_orderkey", OrderKey),
    bigint("l_partkey", KeyOf(Table::Part)),
    bigint("l_suppkey", KeyOf(Table::Supplier)),
    integer("l_linenumber", 1, 7),
    double("l_quantity", 100, 5000),
    double("l_extendedprice", 90_000, 10_495_000),
    double("l_discount", 0, 10),
    double("l_tax", 0, 8),
    varchar("l_returnflag", 1, 1, Few(3)),
    varchar("l_linestatus", 1, 1, Few(2)),
    date("l_shipdate", 1, 121),
    date("l_commitdate", 30, 90),
    date("l_receiptdate", 2, 151),
    varchar("l_shipinstruct", 25, 13, Few(4)),
    varchar("l_shipmode", 10, 4, Few(7)),
    varchar("l_comment", 44, 27, Distinct),
];

const NATION: &[Definition] = &[
    bigint("n_nationkey", NATIONS),
    varchar("n_name", 25, 7, Few(25)),
    bigint("n_regionkey", REGIONS),
    varchar("n_comment", 152, 75, Few(25)),
];

const ORDERS: &[Definition] = &[
    bigint("o_orderkey", OrderKey),
    bigint("o_custkey", KeyOf(Table::Customer)),
    varchar("o_orderstatus", 1, 1, Few(3)),
    double("o_totalprice", 80_000, 60_000_000),
    date("o_orderdate", 0, 0),
    varchar("o_orderpriority", 15, 8, Few(5)),
    varchar("o_clerk", 15, 15, Few(1000)),
    integer("o_shippriority", 0, 0),
    varchar("o_comment", 79, 49, Distinct),
];

const PART: &[Definition] = &[
    bigint("p_partkey", KeyOf(Table::Part)),
    varchar("p_name", 55, 33, Distinct),
    varchar("p_mfgr", 25, 14, Few(5)),
    varchar("p_brand", 10, 8, Few(25)),
    varchar("p_type", 25, 21, Few(150)),
    integer("p_size", 1, 50),
    varchar("p_container", 10, 8, Few(40)),
    double("p_retailprice", 90_000, 210_000),
    varchar("p_comment", 23, 14, Distinct),
];

const PARTSUPP: &[Definition] = &[
    bigint("ps_partkey", KeyOf(Table::Part)),
    bigint("ps_suppkey", KeyOf(Table::Supplier)),
    integer("ps_availqty", 1, 9999),
    double("ps_supplycost", 100, 100_000),
    varchar("ps_comment", 199, 124, Distinct),
];

const REGION: &[Definition] = &[
    bigint("r_regionkey", REGIONS),
    varchar("r_name", 25, 7, Few(5)),
    varchar("r_comment", 152, 66, Few(5)),
];

const SUPPLIER: &[Definition] = &[
    bigint("s_suppkey", KeyOf(Table::Supplier)),
    varchar("s_name", 25, 18, Distinct),
    varchar("s_address", 40, 25, Distinct),
    bigint("s_nationkey", NATIONS),
    varchar("s_phone", 15, 15, Distinct),
    double("s_acctbal", -99_999, 999_999),
    varchar("s_comment", 101, 63, Distinct),
];

impl Table {
    /// Returns the table's columns, without the choices of a catalog.
    pub(crate) fn definitions(self) -> &'static [Definition] {
        match self {
            Self::Customer => CUSTOMER,
            Self::Lineitem => LINEITEM,
            Self::Nation => NATION,
            Self::Orders => ORDERS,
            Self::Part => PART,
            Self::Partsupp => PARTSUPP,
            Self::Region => REGION,
            Self::Supplier => SUPPLIER,
        }
    }
}
