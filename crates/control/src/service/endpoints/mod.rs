//! Endpoints: what is wanted is checked and recorded, and the answer shows the state from then on. Nothing here waits for
//! a process or a device.

mod change;
mod create;
mod delete;
mod describe;
mod events;
mod list;
mod logs;
mod parts;
mod plan;
mod repeat;
mod replicas;
mod replies;
mod rules;
mod start;
mod stop;
mod update;

pub(crate) use create::{Created, EndpointRequest};
pub(crate) use describe::{Described, Progress, Stage};
pub(crate) use logs::{Cut, Follow, LogAnswer, LogRequest, Logs, NO_PLACE};
pub(crate) use parts::Endpoints;
pub(crate) use plan::Plan;
pub(crate) use repeat::Repeat;
pub(crate) use replicas::{ReplicaState, ShownReplica};
pub(crate) use replies::{Replies, Reply, WrittenReply};
pub(crate) use rules::replica_range;
pub(crate) use update::EndpointUpdate;
