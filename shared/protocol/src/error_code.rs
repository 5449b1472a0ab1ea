//! Trino's standard error codes: name, number and type
//! (`io.trino.spi.StandardErrorCode`; the numbers are part of the client protocol).

use serde::{Deserialize, Serialize};

/// Who is to blame for an error, and so whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorType {
    /// The statement or its input is wrong: never retried.
    UserError,
    /// The cluster failed.
    InternalError,
    /// The cluster lacks memory, time or space.
    InsufficientResources,
    /// Something outside the cluster failed.
    External,
}

macro_rules! error_codes {
    ($($name:ident = $code:literal, $kind:ident;)*) => {
        /// A standard error code. Its text form is its name.
        #[allow(non_camel_case_types, missing_docs, clippy::upper_case_acronyms)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode { $($name,)* }

        impl ErrorCode {
            /// Every code, in the order of their numbers within a type.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The code's number on the wire.
            pub const fn code(self) -> u32 {
                match self { $(ErrorCode::$name => $code,)* }
            }

            /// The code's name on the wire, for example `TABLE_NOT_FOUND`.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => stringify!($name),)* }
            }

            /// The code's type.
            pub const fn error_type(self) -> ErrorType {
                match self { $(ErrorCode::$name => ErrorType::$kind,)* }
            }
        }
    };
}

error_codes! {
    GENERIC_USER_ERROR = 0, UserError;
    SYNTAX_ERROR = 1, UserError;
    ABANDONED_QUERY = 2, UserError;
    USER_CANCELED = 3, UserError;
    PERMISSION_DENIED = 4, UserError;
    NOT_FOUND = 5, UserError;
    FUNCTION_NOT_FOUND = 6, UserError;
    INVALID_FUNCTION_ARGUMENT = 7, UserError;
    DIVISION_BY_ZERO = 8, UserError;
    INVALID_CAST_ARGUMENT = 9, UserError;
    OPERATOR_NOT_FOUND = 10, UserError;
    INVALID_VIEW = 11, UserError;
    ALREADY_EXISTS = 12, UserError;
    NOT_SUPPORTED = 13, UserError;
    INVALID_SESSION_PROPERTY = 14, UserError;
    INVALID_WINDOW_FRAME = 15, UserError;
    CONSTRAINT_VIOLATION = 16, UserError;
    TRANSACTION_CONFLICT = 17, UserError;
    INVALID_TABLE_PROPERTY = 18, UserError;
    NUMERIC_VALUE_OUT_OF_RANGE = 19, UserError;
    UNKNOWN_TRANSACTION = 20, UserError;
    NOT_IN_TRANSACTION = 21, UserError;
    TRANSACTION_ALREADY_ABORTED = 22, UserError;
    READ_ONLY_VIOLATION = 23, UserError;
    MULTI_CATALOG_WRITE_CONFLICT = 24, UserError;
    AUTOCOMMIT_WRITE_CONFLICT = 25, UserError;
    UNSUPPORTED_ISOLATION_LEVEL = 26, UserError;
    INCOMPATIBLE_CLIENT = 27, UserError;
    SUBQUERY_MULTIPLE_ROWS = 28, UserError;
    PROCEDURE_NOT_FOUND = 29, UserError;
    INVALID_PROCEDURE_ARGUMENT = 30, UserError;
    QUERY_REJECTED = 31, UserError;
    AMBIGUOUS_FUNCTION_CALL = 32, UserError;
    INVALID_SCHEMA_PROPERTY = 33, UserError;
    SCHEMA_NOT_EMPTY = 34, UserError;
    QUERY_TEXT_TOO_LARGE = 35, UserError;
    UNSUPPORTED_SUBQUERY = 36, UserError;
    EXCEEDED_FUNCTION_MEMORY_LIMIT = 37, UserError;
    ADMINISTRATIVELY_KILLED = 38, UserError;
    INVALID_COLUMN_PROPERTY = 39, UserError;
    QUERY_HAS_TOO_MANY_STAGES = 40, UserError;
    INVALID_SPATIAL_PARTITIONING = 41, UserError;
    INVALID_ANALYZE_PROPERTY = 42, UserError;
    TYPE_NOT_FOUND = 43, UserError;
    CATALOG_NOT_FOUND = 44, UserError;
    SCHEMA_NOT_FOUND = 45, UserError;
    TABLE_NOT_FOUND = 46, UserError;
    COLUMN_NOT_FOUND = 47, UserError;
    ROLE_NOT_FOUND = 48, UserError;
    SCHEMA_ALREADY_EXISTS = 49, UserError;
    TABLE_ALREADY_EXISTS = 50, UserError;
    COLUMN_ALREADY_EXISTS = 51, UserError;
    ROLE_ALREADY_EXISTS = 52, UserError;
    DUPLICATE_NAMED_QUERY = 53, UserError;
    DUPLICATE_COLUMN_NAME = 54, UserError;
    MISSING_COLUMN_NAME = 55, UserError;
    MISSING_CATALOG_NAME = 56, UserError;
    MISSING_SCHEMA_NAME = 57, UserError;
    TYPE_MISMATCH = 58, UserError;
    INVALID_LITERAL = 59, UserError;
    COLUMN_TYPE_UNKNOWN = 60, UserError;
    MISMATCHED_COLUMN_ALIASES = 61, UserError;
    AMBIGUOUS_NAME = 62, UserError;
    INVALID_COLUMN_REFERENCE = 63, UserError;
    MISSING_GROUP_BY = 64, UserError;
    MISSING_ORDER_BY = 65, UserError;
    MISSING_OVER = 66, UserError;
    NESTED_AGGREGATION = 67, UserError;
    NESTED_WINDOW = 68, UserError;
    EXPRESSION_NOT_IN_DISTINCT = 69, UserError;
    TOO_MANY_GROUPING_SETS = 70, UserError;
    FUNCTION_NOT_WINDOW = 71, UserError;
    FUNCTION_NOT_AGGREGATE = 72, UserError;
    EXPRESSION_NOT_AGGREGATE = 73, UserError;
    EXPRESSION_NOT_SCALAR = 74, UserError;
    EXPRESSION_NOT_CONSTANT = 75, UserError;
    INVALID_ARGUMENTS = 76, UserError;
    TOO_MANY_ARGUMENTS = 77, UserError;
    INVALID_PRIVILEGE = 78, UserError;
    DUPLICATE_PROPERTY = 79, UserError;
    INVALID_PARAMETER_USAGE = 80, UserError;
    VIEW_IS_STALE = 81, UserError;
    VIEW_IS_RECURSIVE = 82, UserError;
    NULL_TREATMENT_NOT_ALLOWED = 83, UserError;
    INVALID_ROW_FILTER = 84, UserError;
    INVALID_COLUMN_MASK = 85, UserError;
    MISSING_TABLE = 86, UserError;
    INVALID_RECURSIVE_REFERENCE = 87, UserError;
    MISSING_COLUMN_ALIASES = 88, UserError;
    NESTED_RECURSIVE = 89, UserError;
    INVALID_LIMIT_CLAUSE = 90, UserError;
    INVALID_ORDER_BY = 91, UserError;
    DUPLICATE_WINDOW_NAME = 92, UserError;
    INVALID_WINDOW_REFERENCE = 93, UserError;
    INVALID_PARTITION_BY = 94, UserError;
    INVALID_MATERIALIZED_VIEW_PROPERTY = 95, UserError;
    INVALID_LABEL = 96, UserError;
    INVALID_PROCESSING_MODE = 97, UserError;
    INVALID_NAVIGATION_NESTING = 98, UserError;
    INVALID_ROW_PATTERN = 99, UserError;
    NESTED_ROW_PATTERN_RECOGNITION = 100, UserError;
    TABLE_HAS_NO_COLUMNS = 101, UserError;
    INVALID_RANGE = 102, UserError;
    INVALID_PATTERN_RECOGNITION_FUNCTION = 103, UserError;
    TABLE_REDIRECTION_ERROR = 104, UserError;
    MISSING_VARIABLE_DEFINITIONS = 105, UserError;
    MISSING_ROW_PATTERN = 106, UserError;
    INVALID_WINDOW_MEASURE = 107, UserError;
    STACK_OVERFLOW = 108, UserError;
    MISSING_RETURN_TYPE = 109, UserError;
    AMBIGUOUS_RETURN_TYPE = 110, UserError;
    MISSING_ARGUMENT = 111, UserError;
    DUPLICATE_PARAMETER_NAME = 112, UserError;
    INVALID_PATH = 113, UserError;
    JSON_INPUT_CONVERSION_ERROR = 114, UserError;
    JSON_OUTPUT_CONVERSION_ERROR = 115, UserError;
    PATH_EVALUATION_ERROR = 116, UserError;
    INVALID_JSON_LITERAL = 117, UserError;
    JSON_VALUE_RESULT_ERROR = 118, UserError;
    MERGE_TARGET_ROW_MULTIPLE_MATCHES = 119, UserError;
    INVALID_COPARTITIONING = 120, UserError;
    INVALID_TABLE_FUNCTION_INVOCATION = 121, UserError;
    DUPLICATE_RANGE_VARIABLE = 122, UserError;
    INVALID_CHECK_CONSTRAINT = 123, UserError;
    INVALID_CATALOG_PROPERTY = 124, UserError;
    CATALOG_UNAVAILABLE = 125, UserError;
    MISSING_RETURN = 126, UserError;
    DUPLICATE_COLUMN_OR_PATH_NAME = 127, UserError;
    MISSING_PATH_NAME = 128, UserError;
    INVALID_PLAN = 129, UserError;
    INVALID_VIEW_PROPERTY = 130, UserError;
    INVALID_ENTITY_KIND = 131, UserError;
    QUERY_EXCEEDED_COMPILER_LIMIT = 132, UserError;
    INVALID_FUNCTION_PROPERTY = 133, UserError;
    BRANCH_NOT_FOUND = 134, UserError;
    BRANCH_ALREADY_EXISTS = 135, UserError;
    INVALID_BRANCH_PROPERTY = 136, UserError;
    INVALID_DEFAULT_COLUMN_VALUE = 137, UserError;
    INVALID_GRACE_PERIOD = 138, UserError;
    TRANSACTION_ALREADY_COMMITED = 139, UserError;
    GENERIC_INTERNAL_ERROR = 65536, InternalError;
    TOO_MANY_REQUESTS_FAILED = 65537, InternalError;
    PAGE_TOO_LARGE = 65538, InternalError;
    PAGE_TRANSPORT_ERROR = 65539, InternalError;
    PAGE_TRANSPORT_TIMEOUT = 65540, InternalError;
    NO_NODES_AVAILABLE = 65541, InternalError;
    REMOTE_TASK_ERROR = 65542, InternalError;
    COMPILER_ERROR = 65543, InternalError;
    REMOTE_TASK_MISMATCH = 65544, InternalError;
    SERVER_SHUTTING_DOWN = 65545, InternalError;
    FUNCTION_IMPLEMENTATION_MISSING = 65546, InternalError;
    REMOTE_BUFFER_CLOSE_FAILED = 65547, InternalError;
    SERVER_STARTING_UP = 65548, InternalError;
    FUNCTION_IMPLEMENTATION_ERROR = 65549, InternalError;
    INVALID_PROCEDURE_DEFINITION = 65550, InternalError;
    PROCEDURE_CALL_FAILED = 65551, InternalError;
    AMBIGUOUS_FUNCTION_IMPLEMENTATION = 65552, InternalError;
    ABANDONED_TASK = 65553, InternalError;
    CORRUPT_SERIALIZED_IDENTITY = 65554, InternalError;
    CORRUPT_PAGE = 65555, InternalError;
    OPTIMIZER_TIMEOUT = 65556, InternalError;
    OUT_OF_SPILL_SPACE = 65557, InternalError;
    REMOTE_HOST_GONE = 65558, InternalError;
    CONFIGURATION_INVALID = 65559, InternalError;
    CONFIGURATION_UNAVAILABLE = 65560, InternalError;
    INVALID_RESOURCE_GROUP = 65561, InternalError;
    SERIALIZATION_ERROR = 65562, InternalError;
    REMOTE_TASK_FAILED = 65563, InternalError;
    EXCHANGE_MANAGER_NOT_CONFIGURED = 65564, InternalError;
    CATALOG_NOT_AVAILABLE = 65565, InternalError;
    CATALOG_STORE_ERROR = 65566, InternalError;
    GENERIC_INSUFFICIENT_RESOURCES = 131072, InsufficientResources;
    EXCEEDED_GLOBAL_MEMORY_LIMIT = 131073, InsufficientResources;
    QUERY_QUEUE_FULL = 131074, InsufficientResources;
    EXCEEDED_TIME_LIMIT = 131075, InsufficientResources;
    CLUSTER_OUT_OF_MEMORY = 131076, InsufficientResources;
    EXCEEDED_CPU_LIMIT = 131077, InsufficientResources;
    EXCEEDED_SPILL_LIMIT = 131078, InsufficientResources;
    EXCEEDED_LOCAL_MEMORY_LIMIT = 131079, InsufficientResources;
    ADMINISTRATIVELY_PREEMPTED = 131080, InsufficientResources;
    EXCEEDED_SCAN_LIMIT = 131081, InsufficientResources;
    EXCEEDED_TASK_DESCRIPTOR_STORAGE_CAPACITY = 131082, InsufficientResources;
    EXCEEDED_WRITE_LIMIT = 131083, InsufficientResources;
    UNSUPPORTED_TABLE_TYPE = 133001, External;
}
