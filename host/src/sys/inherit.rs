//! Why a descriptor that this process was started with cannot be granted.

/// Why a descriptor number cannot be granted.
///
/// Returned by [`Grant::descriptor`](crate::Grant::descriptor). [`Grant`](crate::Grant) has an
/// example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// This process did not inherit the number.
    #[error("descriptor {0} was not inherited: open it in the shell, as in `{0}< FIFO`")]
    NotInherited(i32),
    /// The descriptor is not a pipe.
    #[error("descriptor {0} is not a pipe")]
    NotAPipe(i32),
    /// The descriptor is not open for the wanted direction.
    #[error("descriptor {0} is not open for {1}")]
    WrongDirection(i32, &'static str),
}
