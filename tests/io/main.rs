//! Models of other libraries.
