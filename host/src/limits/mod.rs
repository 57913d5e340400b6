//! Limits on what a guest, its family and its pipeline may use up, and the counters for them.
//!
//! [`GuestLimits`] says what is permitted. `GuestQuotas` counts, for one guest and all of its children:
//! each is a `Quota`, of which a `Permit` is taken, and lies within the quotas of all guests of a
//! pipeline, [`Totals`]. A quota that refuses notes its limit in [`Reached`].

mod end_budget;
mod family;
mod fuel;
mod guest;
mod memory;
mod quota;
mod reached;
mod totals;
mod units;

pub(crate) use end_budget::{Allowance, Budget, EndLimits};
pub(crate) use family::{GuestQuotas, HeldBytes};
pub(crate) use fuel::Fuel;
pub use guest::{DEFAULT_MAX_CHILDREN, DEFAULT_MAX_MEMORY, DEFAULT_MAX_PIPES, GuestLimits};
pub(crate) use memory::MemoryBudget;
pub use memory::MemoryUse;
pub(crate) use quota::{Exceeded, Permit, Quota};
pub use reached::{Limit, Reached};
pub use totals::{
    DEFAULT_MAX_TOTAL_CHILDREN, DEFAULT_MAX_TOTAL_MEMORY, DEFAULT_MAX_TOTAL_PIPES, Totals,
};
pub(crate) use units::Size;
#[cfg(feature = "cli")]
pub(crate) use units::{count, duration, size};

/// How many handles of each kind a guest may hold at once. It bounds the host's tables of streams,
/// pipes, files, futures and tasks, against a guest that makes handles and drops none. Beyond that the
/// guest traps, or gets `limit-exceeded` if the call can return it.
pub(crate) const MAX_HANDLES: usize = 10_000;

/// How many bytes a guest may pass to the host in one call. It bounds what a call makes the host copy,
/// against a list or a string as large as the guest's memory. Beyond that the guest traps.
pub(crate) const MAX_CALL_BYTES: usize = 64 * 1024 * 1024;
