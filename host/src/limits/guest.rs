//! What one guest is permitted, as it is set: on the command line, in a pipeline's file, by a program.

use std::num::NonZeroU64;
use std::time::Duration;

#[cfg(feature = "cli")]
use super::units;

/// The memory of a guest and its children unless told otherwise, in bytes.
///
/// The default of [`GuestLimits::max_memory`]. [`GuestLimits`] has an example.
pub const DEFAULT_MAX_MEMORY: u64 = 256 * 1024 * 1024;

/// The pipes that a guest and its children have open unless told otherwise.
///
/// The default of [`GuestLimits::max_pipes`]. [`GuestLimits`] has an example.
pub const DEFAULT_MAX_PIPES: usize = 64;

/// The children that there are at once unless told otherwise.
///
/// The default of [`GuestLimits::max_children`]. [`GuestLimits`] has an example.
pub const DEFAULT_MAX_CHILDREN: usize = 16;

/// What one guest is permitted. A field that is `None` has its default: no limit, or the one that is told.
///
/// ```
/// use std::time::Duration;
///
/// let mut limits = pipehost::GuestLimits::default();
/// limits.timeout = Some(Duration::from_secs(5));
/// limits.max_memory = Some(64 << 20);
/// ```
// The documentation of each field is what `--help` says of its option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct GuestLimits {
    /// End the run after this long, compiling included: 5s, 250ms, 1m30s.
    #[cfg_attr(feature = "cli", arg(long, value_name = "DURATION", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::duration))]
    pub timeout: Option<Duration>,

    /// How long an opened pipe waits for its first peer before it fails with `timed-out`.
    #[cfg_attr(feature = "cli", arg(long, value_name = "DURATION", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::duration))]
    pub open_timeout: Option<Duration>,

    /// End the run when nothing has moved on any pipe of the guest and its children, standard streams
    /// included, for this long. What native commands move is not seen.
    #[cfg_attr(feature = "cli", arg(long, value_name = "DURATION", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::duration))]
    pub idle_timeout: Option<Duration>,

    /// How many bytes may go through each end of a granted pipe and each standard stream: exactly as
    /// many do, and what comes then fails with `limit-exceeded`. An end that is bounded so cannot be
    /// given to a native command.
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::size))]
    pub max_bytes: Option<u64>,

    /// How many bytes a second may go through each of these ends: 64K, 1M.
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::rate))]
    pub rate: Option<NonZeroU64>,

    /// How much the guest may compute, in units of about one WebAssembly instruction each, before it
    /// traps; its children may burn as much again, together. Counting makes guests slower.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::fuel))]
    pub fuel: Option<u64>,

    /// How much memory the guest and its children may have [default: 256M]. SIZE is bytes, or 64K, 16M,
    /// 2G: powers of 1024, however they are written (16MB, 16MiB).
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::size))]
    pub max_memory: Option<u64>,

    /// How many pipes the guest and its children may have open [default: 64].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::count))]
    pub max_pipes: Option<usize>,

    /// How many children there may be at once, children's children included [default: 16].
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", allow_hyphen_values = true))]
    #[cfg_attr(feature = "cli", arg(value_parser = units::count))]
    pub max_children: Option<usize>,
}

impl GuestLimits {
    /// Returns these limits, with those of `all` where these say nothing. The time limits of `all`
    /// stay out: they bound all guests together.
    #[must_use]
    pub fn or(&self, all: &Self) -> Self {
        Self {
            timeout: self.timeout,
            idle_timeout: self.idle_timeout,
            open_timeout: self.open_timeout.or(all.open_timeout),
            max_bytes: self.max_bytes.or(all.max_bytes),
            rate: self.rate.or(all.rate),
            fuel: self.fuel.or(all.fuel),
            max_memory: self.max_memory.or(all.max_memory),
            max_pipes: self.max_pipes.or(all.max_pipes),
            max_children: self.max_children.or(all.max_children),
        }
    }
}
