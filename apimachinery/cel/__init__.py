"""CEL, the Common Expression Language, with what Kubernetes adds to it.

`program` compiles and evaluates expressions by the package common-expression-language (a binding of the Rust crate),
`rewrite` turns syntax the package does not know into calls, `library` has the functions.
"""
