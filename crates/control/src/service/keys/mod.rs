//! A tenant's owners manage its keys, an admin those of the host. A key never makes a stronger one.

mod create;
mod list;
mod parts;
mod revoke;

pub(crate) use create::{CreatedKey, NewKey};
pub(crate) use parts::{Keys, ShownKey};
