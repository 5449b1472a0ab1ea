//! Catalog files and the file of the exchange manager.

use waterbear_protocol::membership::Role;

use super::Etc;

#[test]
fn catalogs_are_read_with_their_connectors() {
    let etc = Etc::with("")
        .and(
            "catalog/tpch.properties",
            "connector.name=tpch\ntpch.splits-per-node=4\ntpch.double-type-mapping=decimal\n",
        )
        .and("catalog/lake_1.properties", "connector.name=files\nfiles.location=/data\n")
        .and("catalog/readme.txt", "not a catalog")
        .and("catalog/.tpch.properties", "left by an editor");
    let config = etc.load(Role::Coordinator).unwrap();
    let names: Vec<_> = config.catalogs.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["lake_1", "tpch"]);
    let tpch = &config.catalogs[1];
    assert_eq!(tpch.connector_name, "tpch");
    assert_eq!(tpch.properties.len(), 1);
    assert_eq!(tpch.properties["tpch.double-type-mapping"], "decimal");
    assert_eq!(config.warnings.len(), 1);
    assert!(etc.load(Role::Discovery).unwrap().catalogs.is_empty());
}

#[test]
fn typing_errors_in_catalogs_give_the_nearest_name() {
    let etc = Etc::with("")
        .and("catalog/a.properties", "connector.name=tcph\n")
        .and("catalog/b.properties", "conector.name=tpch\n")
        .and("catalog/c.properties", "connector.name=hive\n")
        .and("catalog/d.properties", "connector.name=files\nfile.location=/x\n")
        .and("catalog/e.properties", "connector.name=tpch\ntpch.column-naming=STANDART\n")
        .and("catalog/f.properties", "connector.name=tpch\nfiles.location=/x\nnode.id=x\n")
        .and("catalog/G.properties", "connector.name=tpch\ntpch.x=1\n")
        .and("catalog/system.properties", "connector.name=tpch\n");
    let problems = etc.problems(Role::Worker);
    for (problem, (file, text)) in problems.iter().zip([
        ("G.properties", "give the file another name"),
        ("G.properties:2", "tpch.x: is not a known property"),
        ("a.properties:1", "there is no connector 'tcph': did you mean 'tpch'?"),
        ("b.properties", "connector.name: is missing: 'conector.name' is not it"),
        ("c.properties:1", "connector 'hive' is not supported yet"),
        (
            "d.properties:2",
            "file.location: is not a known property: did you mean 'files.location'?",
        ),
        ("d.properties", "files.location: is missing"),
        ("e.properties:2", "'STANDART' is not one of SIMPLIFIED, STANDARD"),
        ("f.properties:2", "is a property of connector 'files'"),
        ("f.properties:3", "belongs in node.properties"),
        ("system.properties", "the catalog 'system' is always there"),
    ]) {
        assert!(problem.starts_with(&format!("catalog/{file}: ")), "{problem}");
        assert!(problem.contains(text), "{problem}");
    }
    assert_eq!(problems.len(), 11, "{problems:?}");
}

#[test]
fn the_exchange_manager_is_read_and_checked() {
    let with = |text: &str| Etc::with("").and("exchange-manager.properties", text);
    let good = with("exchange-manager.name=filesystem\nexchange.base-directories=/a,file:///b\n");
    let config = good.load(Role::Worker).unwrap();
    assert!(config.exchange_manager.is_some());
    assert_eq!(config.warnings, Vec::<String>::new());
    assert!(good.load(Role::Discovery).unwrap().exchange_manager.is_none());
    for (text, expected) in [
        ("", "exchange-manager.name: is missing"),
        ("exchange-manager.name=filesystem", "exchange.base-directories: is missing"),
        ("exchange-manager.name=hdfs\nexchange.base-directories=/a", "is not one of filesystem"),
        (
            "exchange-manager.name=filesystem\nexchange.base-directories=a",
            "no absolute path in item 1",
        ),
        ("exchange-manager.name=filesystem\nexchange.base-directories=/a,s3://b", "one scheme"),
        ("exchange-manager.name=filesystem\nexchange.base-directories=gs://a", "scheme 'gs'"),
        (
            "exchange-manager.name=filesystem\nexchange.base-directories=s3://b",
            "exchange.s3.region",
        ),
        (
            "exchange-manager.name=filesystem\nexchange.base-directories=/a\nexchange.s3.aws-access-key=k",
            "needs exchange.s3.aws-secret-key",
        ),
        (
            "exchange-manager.name=filesystem\nexchange.base-directories=/a\nexchange.s3.external-id=k",
            "needs exchange.s3.iam-role",
        ),
        (
            "exchange-manager.name=filesystem\nexchange.base-directories=/a\nnode.id=x",
            "belongs in node",
        ),
        (
            "exchange-manager.name=filesystem\nexchange.base-directories=/a\nhdfs.config.resources=x",
            "HDFS is not",
        ),
    ] {
        let problems = with(text).problems(Role::Coordinator);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
    }
}
