//! Answers as text for people. Pure: values in, text out; foreign text is made harmless here.

mod endpoint;
mod layout;
mod plan;
mod rows;
mod units;

pub(crate) use self::endpoint::{endpoint, progress, why};
pub(crate) use self::layout::{block, one_line};
pub(crate) use self::plan::plan;
pub(crate) use self::rows::{audit, endpoints, events, hardware, keys, models, replicas, unusable, usage};
pub(crate) use self::units::{bytes, duration, moment};

#[cfg(test)]
pub(crate) mod tests;
