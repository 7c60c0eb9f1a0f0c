//! The process runtime with real shims and an engine that misbehaves as told.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod escape;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod host;
#[cfg(test)]
mod life;
#[cfg(test)]
mod lost_folders;
#[cfg(test)]
mod restart;
