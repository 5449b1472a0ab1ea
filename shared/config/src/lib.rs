//! Properties files, units, secrets: one typed configuration, all problems at once.
