//! Answers as text for people. Pure: values in, text out; foreign text is made harmless here.

mod endpoint;
mod layout;
mod plan;
mod rows;
mod units;
mod view;

pub(crate) use self::endpoint::{describe, endpoint, progress, why};
pub(crate) use self::layout::{Shape, block, one_line};
pub(crate) use self::plan::plan;
pub(crate) use self::rows::{
    audit, endpoint_rows, endpoints, event_line, events, hardware, keys, models, replicas, unusable, usage,
};
pub(crate) use self::units::{bytes, duration, moment, short};
pub(crate) use self::view::View;

#[cfg(test)]
pub(crate) mod tests;
