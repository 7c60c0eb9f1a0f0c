//! What only a file can be tested for.

mod schemas;
