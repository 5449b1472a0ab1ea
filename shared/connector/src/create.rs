//! A connector from the properties of its catalog file.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    connector::Connector,
    files::FilesConnector,
    memory::MemoryConnector,
    properties::{self, Properties},
    tpch::TpchConnector,
};

/// The values of `connector.name` that [`create()`] knows.
const CONNECTORS: [&str; 3] = ["files", "memory", "tpch"];

/// Makes the connector of a catalog.
///
/// `connector_name` is the value of `connector.name`; `properties` are the catalog file's other
/// properties.
///
/// # Errors
/// One message for each problem; each names the catalog and the property, and for an unknown name
/// the nearest known one.
pub fn create(
    catalog: &str,
    connector_name: &str,
    properties: &BTreeMap<String, String>,
) -> Result<Arc<dyn Connector>, Vec<String>> {
    let properties = Properties::new(catalog, properties);
    match connector_name {
        "tpch" => Ok(Arc::new(TpchConnector::create(properties)?)),
        "memory" => Ok(Arc::new(MemoryConnector::create(properties)?)),
        "files" => Ok(Arc::new(FilesConnector::create(properties)?)),
        other => Err(vec![format!(
            "catalog {catalog}: connector.name={other} is unknown{}",
            properties::nearest(other, &CONNECTORS)
        )]),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn problems(connector: &str, properties: &[(&str, &str)]) -> Vec<String> {
        let properties =
            properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        create("c", connector, &properties.collect()).map(|_| ()).unwrap_err()
    }

    #[test]
    fn every_problem_is_reported_with_its_name() {
        assert_eq!(
            problems(
                "tpch",
                &[("tpch.column-namin", "STANDARD"), ("tpch.double-type-mapping", "FLOAT")]
            ),
            [
                "catalog c: tpch.double-type-mapping=FLOAT must be one of DOUBLE, DECIMAL",
                "catalog c: unknown property tpch.column-namin; did you mean tpch.column-naming?",
            ]
        );
        assert_eq!(
            problems("tpcc", &[]),
            ["catalog c: connector.name=tpcc is unknown; did you mean tpch?"]
        );
    }

    #[test]
    fn values_are_read_in_either_case() {
        let properties = [
            ("connector.name".to_owned(), "tpch".to_owned()),
            ("tpch.column-naming".to_owned(), "standard".to_owned()),
            ("tpch.splits-per-node".to_owned(), "4".to_owned()),
        ];
        assert_eq!(create("c", "tpch", &properties.into()).unwrap().name(), "tpch");
    }
}
