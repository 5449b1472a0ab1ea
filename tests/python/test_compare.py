"""The comparison itself must be able to fail."""

import datetime
from decimal import Decimal

import pytest

import compare


def answer(tmp_path, text):
    path = tmp_path / "answer.csv"
    path.write_text(text)
    return path


TYPES = ["varchar(25)", "decimal(38, 4)", "decimal(12,2)", "date", "bigint"]
NAMES = ["s", "total", "avg_qty", "d", "n"]
TEXT = 's,total,avg_qty,d,n\nx,1.2345,25.575154,1995-01-01,7\n"y,z",2.0000,25.574999,1996-02-03,8\n'
GOOD = [
    ("x", Decimal("1.2345"), Decimal("25.58"), datetime.date(1995, 1, 1), 7),
    ("y,z", Decimal("2.0000"), Decimal("25.57"), datetime.date(1996, 2, 3), 8),
]


def test_right_rows_pass(tmp_path):
    compare.check(1, NAMES, TYPES, GOOD, answer(tmp_path, TEXT))


@pytest.mark.parametrize(
    "wrong, said",
    [
        ([GOOD[0]], "1 rows"),
        ([GOOD[1], GOOD[0]], "row 0, s"),
        ([(*GOOD[0][:1], Decimal("1.2346"), *GOOD[0][2:]), GOOD[1]], "total"),
        ([(*GOOD[0][:2], Decimal("25.57"), *GOOD[0][3:]), GOOD[1]], "avg_qty"),
        ([(*GOOD[0][:3], datetime.date(1995, 1, 2), 7), GOOD[1]], "row 0, d"),
        ([(*GOOD[0][:4], None), GOOD[1]], "row 0, n"),
    ],
)
def test_each_difference_is_found(tmp_path, wrong, said):
    with pytest.raises(AssertionError, match=said):
        compare.check(1, NAMES, TYPES, wrong, answer(tmp_path, TEXT))


def test_a_column_of_another_name_is_found(tmp_path):
    with pytest.raises(AssertionError, match="columns"):
        compare.check(1, ["t", *NAMES[1:]], TYPES, GOOD, answer(tmp_path, TEXT))


def test_an_average_is_rounded_only_where_the_query_names_it(tmp_path):
    with pytest.raises(AssertionError, match="avg_qty"):
        compare.check(2, NAMES, TYPES, GOOD, answer(tmp_path, TEXT))


def test_doubles_are_compared_to_nine_digits():
    assert compare.equal(1.0000000001, Decimal("1"), "double", False)
    assert not compare.equal(1.00000001, Decimal("1"), "double", False)


def test_ties_may_be_in_any_order_but_the_sorted_columns_may_not(tmp_path):
    path = answer(tmp_path, "n_name,revenue\na,2.0\nb,1.0\nc,1.0\n")
    names, types = ["n_name", "revenue"], ["varchar", "decimal(38, 1)"]
    rows = [("a", Decimal("2.0")), ("c", Decimal("1.0")), ("b", Decimal("1.0"))]
    compare.check(5, names, types, rows, path)
    with pytest.raises(AssertionError, match="not sorted"):
        compare.check(5, names, types, rows[::-1], path)
    with pytest.raises(AssertionError, match="row 1"):
        compare.check(5, names, types, [rows[0], rows[1], rows[1]], path)
