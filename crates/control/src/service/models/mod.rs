//! The models of this host, as far as the caller may know of them: listing, sharing and removing them. What each role
//! may do with a model is the table in [`dedi_domain::model_rights`].

mod files;
mod holders;
mod list;
mod parts;
mod remove;
mod rights;
mod share;

pub(super) use holders::named;
pub(crate) use list::Listed;
pub(crate) use parts::Models;
pub(crate) use rights::must_by_role;
pub(super) use rights::shows;
