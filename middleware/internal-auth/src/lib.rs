//! Tower layers that sign and require internal JSON Web Tokens bound to the caller's certificate.
