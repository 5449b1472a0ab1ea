//! Connector traits and the connectors tpch and files.
