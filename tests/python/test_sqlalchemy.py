"""SQLAlchemy over the dialect of Trino's own client: as an application would use it."""

import datetime

import pytest
import sqlalchemy as sa


@pytest.fixture(scope="module")
def engine(cluster):
    made = sa.create_engine(f"trino://test@127.0.0.1:{cluster.coordinator.http}/tpch/tiny")
    yield made
    made.dispose()


def test_text_with_parameters(engine):
    with engine.connect() as connection:
        sql = sa.text("SELECT n_name FROM nation WHERE n_nationkey = :key")
        assert connection.execute(sql, {"key": 3}).scalar() == "CANADA"


def test_expressions_become_queries(engine):
    orders = sa.table("orders", sa.column("o_orderkey"), sa.column("o_orderdate"), sa.column("o_orderstatus"))
    query = (
        sa.select(orders.c.o_orderstatus, sa.func.count().label("n"))
        .where(orders.c.o_orderdate >= datetime.date(1998, 1, 1))
        .group_by(orders.c.o_orderstatus)
        .order_by(sa.desc("n"))
        .limit(1)
    )
    with engine.connect() as connection:
        row = connection.execute(query).one()
    assert row.n > 0 and row.o_orderstatus in "FOP"


def test_inspection(engine):
    inspector = sa.inspect(engine)
    assert {"tiny", "sf1", "information_schema"} <= set(inspector.get_schema_names())
    assert {"nation", "region", "lineitem"} <= set(inspector.get_table_names())
    assert inspector.has_table("nation") and not inspector.has_table("nope")
    columns = {column["name"]: column for column in inspector.get_columns("nation")}
    assert list(columns) == ["n_nationkey", "n_name", "n_regionkey", "n_comment"]
    assert isinstance(columns["n_nationkey"]["type"], sa.BIGINT)
    assert inspector.get_view_names() == []


def test_a_reflected_table_is_queried(engine):
    nation = sa.Table("nation", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        query = sa.select(nation.c.n_name).where(nation.c.n_nationkey.in_([1, 2])).order_by(nation.c.n_nationkey)
        assert connection.execute(query).scalars().all() == ["ARGENTINA", "BRAZIL"]
