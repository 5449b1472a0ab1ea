//! Files that change, or are no files at all.

use std::os::unix::ffi::OsStrExt;

use datafusion::physical_plan::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::*;

/// The rows of a table, as a worker reads them.
async fn rows_of(table: &dyn ConnectorTable) -> SendableRecordBatchStream {
    let config = datafusion::prelude::SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config);
    let plan = table.provider().scan(&context.state(), None, &[], None).await.unwrap();
    let plan = guarded(plan, &context.runtime_env()).unwrap();
    plan.execute(0, context.task_ctx()).unwrap()
}

async fn read(table: &dyn ConnectorTable) -> Result<usize, String> {
    let batches: Result<Vec<_>, _> = rows_of(table).await.try_collect().await;
    batches
        .map(|batches| batches.iter().map(RecordBatch::num_rows).sum())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_fails_the_query() {
    let cut = |path: &Path| File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
    let append = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, format!("{text}{}", text.lines().last().unwrap())).unwrap();
    };
    let replace = |path: &Path| {
        fs::copy(path, path.with_extension("other")).unwrap();
        fs::rename(path.with_extension("other"), path).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    type Change<'a> = (&'a dyn Fn(&Path), &'a str);
    let changes: [Change<'_>; 4] =
        [(&cut, "changed"), (&append, "changed"), (&replace, "changed"), (&remove, "vanished")];
    for name in ["a.csv", "a.jsonl"] {
        for (change, what) in changes {
            let (folder, connector) = lake();
            let file = folder.path().join("hr/t").join(name);
            let row = |id: usize| match name {
                "a.csv" => format!("{id},{}\n", "y".repeat(20)),
                _ => format!("{{\"k\": {id}, \"s\": \"{}\"}}\n", "y".repeat(20)),
            };
            let rows: String = (0..120_000).map(row).collect();
            text(&file, &format!("{}{rows}", if name == "a.csv" { "k,s\n" } else { "" }));
            let table = open(&connector, "t").await;
            assert_eq!(read(table.as_ref()).await, Ok(120_000));
            let mut rows = rows_of(table.as_ref()).await;
            rows.try_next().await.unwrap().unwrap();
            change(&file);
            let rest: Result<Vec<_>, _> = rows.try_collect().await;
            let message = rest.unwrap_err().to_string();
            let expected = format!("hr/t/{name} {what} while a query read it");
            assert!(message.contains(&expected), "{message}");
        }
    }
}

#[tokio::test]
async fn a_quote_that_is_not_closed_hides_no_rows() {
    let (folder, connector) = lake();
    text(&folder.path().join("hr/t/a.csv"), "a,b\n1,\"x\ny\"\n2,ab\"c\n");
    let table = open(&connector, "t").await;
    assert_eq!(read(table.as_ref()).await, Ok(2));
    text(&folder.path().join("hr/t/b.csv"), "a,b\n1,\"x\n2,y\n3,z\n");
    let table = open(&connector, "t").await;
    let message = read(table.as_ref()).await.unwrap_err();
    assert!(message.contains("hr/t/b.csv: a quote is opened and never closed"), "{message}");
}

#[tokio::test]
async fn nothing_with_rows_is_left_out() {
    let (folder, connector) = lake();
    let root = folder.path().join("hr");
    for table in ["name", "link", "folder"] {
        text(&root.join(table).join("a.csv"), "k\n1\n");
    }
    fs::write(root.join("name").join(std::ffi::OsStr::from_bytes(b"\xff.csv")), "k\n2\n").unwrap();
    assert!(error(&connector, "name").await.ends_with("its name is not UTF-8; rename it"));
    std::os::unix::fs::symlink("nowhere", root.join("link/b.csv")).unwrap();
    let message = error(&connector, "link").await;
    assert!(message.contains("link/b.csv: No such file"), "{message}");
    let inner = root.join("folder").join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("b.csv"), "k\n2\n").unwrap();
    assert!(error(&connector, "folder").await.ends_with("its name is not UTF-8; rename it"));
}

#[tokio::test]
async fn a_damaged_footer_is_an_error() {
    let (folder, connector) = lake();
    let file = folder.path().join("hr/t/a.parquet");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, [b"PAR1".as_slice(), &[0xff; 100], b"PAR1"].concat()).unwrap();
    assert!(error(&connector, "t").await.contains("hr/t/a.parquet: "));
}
