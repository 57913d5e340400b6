//! Why a descriptor that this process was started with cannot be had.

/// Why a descriptor number cannot be granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// Nothing was inherited under that number.
    #[error("descriptor {0} was not inherited: open it in the shell, as in `{0}< FIFO`")]
    NotInherited(i32),
    /// It is no pipe.
    #[error("descriptor {0} is not a pipe")]
    NotAPipe(i32),
    /// Its access mode does not permit the direction asked for.
    #[error("descriptor {0} is not open for {1}")]
    WrongDirection(i32, &'static str),
}
