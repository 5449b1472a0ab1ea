use super::columns;

#[tokio::test]
async fn columns_are_called_as_they_are_written() {
    for (sql, expected) in [
        ("SELECT X, t.\"X\", x AS \"Y z\" FROM (VALUES 1) t(x)", "X X Y z"),
        ("SELECT * FROM (VALUES (1, 2)) t(A, b)", "a b"),
        ("SELECT 1, x, x + 1, x FROM (VALUES 1) t(x)", "_col0 x _col2 x"),
        ("SELECT *, x FROM (VALUES 1) t(x)", "x x"),
        ("VALUES (1, 2)", "_col0 _col1"),
        ("SELECT * FROM (VALUES (1, 2))", "_col0 _col1"),
        ("SELECT 1 AS a UNION SELECT 2 AS b", "a"),
        ("SELECT current_schema", "_col0"),
        ("SELECT K FROM (VALUES 1) a(k) JOIN (VALUES 1) b(k) USING (k)", "K"),
        ("SELECT * FROM (SELECT 1 x, 2 x, 3) t", "x x _col2"),
    ] {
        assert_eq!(
            columns(sql).await.map_err(|failure| failure.message),
            Ok(expected.to_owned()),
            "{sql}"
        );
    }
}
