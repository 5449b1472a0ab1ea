"""Compares rows with TPC-H answers: exactly, but for what cannot be exact.

The answers' averages and quotients are doubles. Where our column is a decimal (Trino: the average of
decimals is a decimal), equal means within half a unit of our last digit plus 1e-9 relative. These
columns are named in ROUNDED; every other decimal must be equal to the last digit.
"""

import csv
import datetime
import re
from decimal import Decimal

RELATIVE = Decimal("1e-9")

ROUNDED = {
    1: {"avg_qty", "avg_price", "avg_disc"},
    8: {"mkt_share"},
    14: {"promo_revenue"},
    17: {"avg_yearly"},
}

# Queries whose ORDER BY leaves ties open, with the columns that must still be sorted ("-" descending).
# All others order totally (or have one row).
PARTLY_ORDERED = {
    3: ["-revenue", "o_orderdate"],
    5: ["-revenue"],
    10: ["-revenue"],
    11: ["-value"],
    18: ["-o_totalprice", "o_orderdate"],
}


def read_answer(path):
    """Column names and rows of texts."""
    with open(path, newline="") as file:
        rows = [row for row in csv.reader(file)]
    return rows[0], rows[1:]


def parse(text, type_name):
    """The answer's text as a value of our column's type."""
    if type_name.startswith(("varchar", "char")):
        return text
    if text == "":
        return None
    if type_name in ("bigint", "integer", "smallint", "tinyint"):
        return int(text)
    if type_name == "date":
        return datetime.date.fromisoformat(text)
    if type_name.startswith("decimal") or type_name in ("double", "real"):
        return Decimal(text)
    raise AssertionError(f"the answers have no column of type {type_name}")


def scale_of(type_name):
    return int(re.fullmatch(r"decimal\(\d+,\s*(\d+)\)", type_name).group(1))


def equal(ours, expected, type_name, rounded):
    """Whether one value is right."""
    if ours is None or expected is None:
        return ours is expected
    if type_name in ("double", "real"):
        return abs(Decimal(ours) - expected) <= RELATIVE * abs(expected)
    if rounded and type_name.startswith("decimal"):
        tolerance = Decimal(10) ** -scale_of(type_name) / 2 + RELATIVE * abs(expected)
        return abs(ours - expected) <= tolerance
    return ours == expected


def sort_key(row):
    return [(value is not None, str(value)) for value in row]


def check(number, names, types, rows, answer_path):
    """Raises AssertionError at the first difference between our rows and the answer of a query."""
    expected_names, texts = read_answer(answer_path)
    assert names == expected_names, f"columns {names}, expected {expected_names}"
    assert len(rows) == len(texts), f"{len(rows)} rows, expected {len(texts)}"
    expected = [[parse(text, kind) for text, kind in zip(row, types)] for row in texts]
    ours = [list(row) for row in rows]
    if number in PARTLY_ORDERED:
        check_sorted(names, ours, PARTLY_ORDERED[number])
        ours, expected = sorted(ours, key=sort_key), sorted(expected, key=sort_key)
    rounded = ROUNDED.get(number, set())
    for index, (our_row, expected_row) in enumerate(zip(ours, expected)):
        for name, kind, one, other in zip(names, types, our_row, expected_row):
            same = equal(one, other, kind, name in rounded)
            assert same, f"row {index}, {name} {kind}: {one!r}, expected {other!r}"


def check_sorted(names, rows, keys):
    columns = [(names.index(key.lstrip("-")), key.startswith("-")) for key in keys]
    for before, after in zip(rows, rows[1:]):
        for column, descending in columns:
            one, other = before[column], after[column]
            if one == other:
                continue
            assert (one > other) == descending, f"not sorted by {keys}: {before} before {after}"
            break
