"""Errors as clients see them: name, number, type, place and message."""

import pytest
from trino.exceptions import TrinoQueryError

ERRORS = [
    ("SELECT * FRMO nation", "SYNTAX_ERROR", 1, (1, 10), "mismatched input 'FRMO'"),
    ("EXECUTE nope", "NOT_FOUND", 5, None, "nope"),
    ("SELECT nope(1)", "FUNCTION_NOT_FOUND", 6, (1, 8), "line 1:8: Function 'nope' not registered"),
    ("SELECT 1 / (n_nationkey - n_nationkey) FROM nation", "DIVISION_BY_ZERO", 8, None, "Division by zero"),
    ("SELECT CAST(n_name AS bigint) FROM nation", "INVALID_CAST_ARGUMENT", 9, None, "Cannot cast"),
    ("SELECT * FROM nation TABLESAMPLE BERNOULLI (1)", "NOT_SUPPORTED", 13, (1, 15), "TABLESAMPLE"),
    ("SELECT 9223372036854775807 + n_nationkey FROM nation", "NUMERIC_VALUE_OUT_OF_RANGE", 19, None, "overflow"),
    ("CALL system.runtime.nope()", "PROCEDURE_NOT_FOUND", 29, None, "Procedure not registered: runtime.nope"),
    ("CALL system.runtime.kill_query(NULL)", "INVALID_PROCEDURE_ARGUMENT", 30, None, "query_id cannot be null"),
    ("SELECT CAST(1 AS foo)", "TYPE_NOT_FOUND", 43, None, "Unknown type: foo"),
    ("SELECT * FROM x.y.z", "CATALOG_NOT_FOUND", 44, (1, 15), "line 1:15: Catalog 'x' not found"),
    ("SELECT * FROM x.y", "SCHEMA_NOT_FOUND", 45, (1, 15), "line 1:15: Schema 'x' does not exist"),
    ("SELECT * FROM x", "TABLE_NOT_FOUND", 46, (1, 15), "line 1:15: Table 'tpch.tiny.x' does not exist"),
    ("SELECT x FROM nation", "COLUMN_NOT_FOUND", 47, (1, 8), "line 1:8: Column 'x' cannot be resolved"),
    ("SELECT n_name = 1 FROM nation", "TYPE_MISMATCH", 58, (1, 15), "Cannot apply operator: varchar"),
    ("SELECT DATE '2020-99-99'", "INVALID_LITERAL", 59, None, "'2020-99-99' is not a valid DATE literal"),
    ("SELECT a.n_name FROM nation a, nation b WHERE n_name = 'x'", "AMBIGUOUS_NAME", 62, None, "n_name"),
    ("SELECT n_name, count(*) FROM nation", "EXPRESSION_NOT_AGGREGATE", 73, (1, 8), "must be an aggregate expression"),
    ("SELECT 1 FROM nation WHERE sum(n_nationkey) > 1", "EXPRESSION_NOT_SCALAR", 74, None, "WHERE clause cannot contain"),
    ("USE nope.x", "CATALOG_NOT_FOUND", 44, (1, 5), "Catalog 'nope' not found"),
    ("SHOW CREATE TABLE nope", "TABLE_NOT_FOUND", 46, (1, 19), "Table 'tpch.tiny.nope' does not exist"),
]


@pytest.mark.parametrize(("sql", "name", "code", "place", "message"), ERRORS, ids=[sql for sql, *_ in ERRORS])
def test_errors_have_trinos_name_number_type_and_place(cluster, sql, name, code, place, message):
    with pytest.raises(TrinoQueryError) as caught:
        cluster.query(sql)
    failure = caught.value
    assert (failure.error_name, failure.error_code, failure.error_type) == (name, code, "USER_ERROR"), failure.message
    assert message in failure.message
    if place:
        assert failure.error_location == place, failure.message


def test_names_without_a_session_need_all_their_parts(cluster):
    for options, sql, name, code in [
        ({"catalog": None, "schema": None}, "SELECT * FROM nation", "MISSING_CATALOG_NAME", 56),
        ({"schema": None}, "SELECT * FROM nation", "MISSING_SCHEMA_NAME", 57),
        ({"catalog": None, "schema": None}, "SHOW SCHEMAS", "MISSING_CATALOG_NAME", 56),
        ({"schema": None}, "SHOW TABLES", "MISSING_SCHEMA_NAME", 57),
    ]:
        with pytest.raises(TrinoQueryError) as caught:
            cluster.query(sql, **options)
        assert (caught.value.error_name, caught.value.error_code) == (name, code), sql


def test_a_session_property_that_nobody_knows_is_refused(cluster):
    with pytest.raises(TrinoQueryError) as caught:
        cluster.query("SELECT 1", session_properties={"nope": "1"})
    assert (caught.value.error_name, caught.value.error_code) == ("INVALID_SESSION_PROPERTY", 14)
    assert "Session property 'nope' does not exist" in caught.value.message
