//! Handles that this process was started with: the standard ones, and those that have numbers.
//!
//! Windows gives handles no numbers of a program's choice. A process of pipehost's gets them by
//! variables: `PIPEHOST_FD_3` names the handle for descriptor 3. Any other number is that of a handle.

use std::io;
use std::os::windows::io::{AsRawHandle as _, BorrowedHandle, OwnedHandle};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::{
    GetHandleInformation, HANDLE, HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE, SetHandleInformation,
};
use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_CHAR, FILE_TYPE_PIPE, GetFileType};
use windows_sys::Win32::System::Console::{
    GetStdHandle, STD_ERROR_HANDLE, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetStdHandle,
};

use super::super::{Direction, InheritError};
use super::calls::{done, duplicate, taken};
use super::handle::{Handle, Kind};

/// How the variables begin that name handles.
pub(super) const GIVEN: &str = "PIPEHOST_FD_";

/// The numbers that were taken already.
static TAKEN: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Returns the descriptor that `path` stands for. No path does.
pub(crate) fn inherited_number(_: &Path) -> Option<i32> {
    None
}

/// Returns the number in a path of a descriptor. There are no such paths.
pub(crate) fn number_in_path(_: &str) -> Option<&str> {
    None
}

/// Takes over the handle of this number, of any type, which the parent process has given this process.
///
/// # Errors
/// Fails if the parent process gave none, or if it was taken before.
pub(crate) fn take_given(number: i32) -> io::Result<Handle> {
    if number < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut all_taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if all_taken.contains(&number) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let named = std::env::var(format!("{GIVEN}{number}")).ok();
    let (value, overlapped) = match &named {
        Some(text) => match text.strip_suffix('o') {
            Some(value) => (value.parse().ok(), true),
            None => (text.parse().ok(), false),
        },
        None => (usize::try_from(number).ok(), false),
    };
    let value: usize = value.ok_or(io::ErrorKind::InvalidInput)?;
    let raw: HANDLE = std::ptr::with_exposed_provenance_mut(value);
    let mut flags = 0;
    // SAFETY: the number is only asked about until it is known to be an inherited handle: all that this
    // process opens cannot be inherited. Once that mark is gone, nobody takes it a second time.
    let file = unsafe {
        done(GetHandleInformation(raw, &raw mut flags))?;
        if flags & HANDLE_FLAG_INHERIT == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        done(SetHandleInformation(raw, HANDLE_FLAG_INHERIT, 0))?;
        taken(raw)?
    };
    all_taken.push(number);
    Ok(if overlapped { Handle::overlapped(file) } else { Handle::unknown(file) })
}

/// Takes over a handle, of any type, for one direction.
///
/// # Errors
/// [`InheritError::NotInherited`].
pub(crate) fn take_inherited_stream(number: i32, _: Direction) -> Result<Handle, InheritError> {
    take_given(number).map_err(|_| InheritError::NotInherited(number))
}

/// Checks that a handle is open for a direction. Only its use can tell.
///
/// # Errors
/// None.
pub(crate) fn check_direction(_: i32, _: &Handle, _: Direction) -> Result<(), InheritError> {
    Ok(())
}

/// Takes over the handle of this number, and returns the directions for which it may be open: both, as
/// only its use can tell. Takes a copy of a standard stream.
///
/// # Errors
/// Fails if no handle was inherited under that number, or if it is not a pipe.
pub(crate) fn take_inherited(number: i32) -> Result<(Handle, Vec<Direction>), InheritError> {
    let none = |_| InheritError::NotInherited(number);
    let handle = match number {
        0..3 => standard(number).map_err(none)?,
        _ => take_given(number).map_err(none)?,
    };
    match is_pipe(&handle) {
        true => Ok((handle, vec![Direction::Read, Direction::Write])),
        false => Err(InheritError::NotAPipe(number)),
    }
}

fn is_pipe(handle: &Handle) -> bool {
    // SAFETY: the handle is open.
    unsafe { GetFileType(handle.raw()) == FILE_TYPE_PIPE }
}

fn name_of(number: i32) -> STD_HANDLE {
    match number {
        0 => STD_INPUT_HANDLE,
        1 => STD_OUTPUT_HANDLE,
        _ => STD_ERROR_HANDLE,
    }
}

/// Returns one of this process's standard handles, if it has it.
fn standard_handle(number: i32) -> Option<BorrowedHandle<'static>> {
    // SAFETY: asks for a number.
    let raw = unsafe { GetStdHandle(name_of(number)) };
    if raw.is_null() || raw == INVALID_HANDLE_VALUE {
        return None;
    }
    let mut flags = 0;
    // SAFETY: the number is only asked about until it is known to be a handle. It stays open as long as
    // the process, or until `retire_standard_input_and_output`, after which another takes its place.
    unsafe {
        done(GetHandleInformation(raw, &raw mut flags)).ok()?;
        Some(BorrowedHandle::borrow_raw(raw))
    }
}

/// Returns a copy of one of the standard handles 0 to 2. The parent process may share the file. If there
/// is none, each read and write of the copy fails, as if it were not open for that.
///
/// See the example of [`Setup`](crate::Setup).
///
/// # Errors
/// Fails if no handles are left.
pub fn standard(number: i32) -> io::Result<Handle> {
    match standard_handle(number) {
        Some(handle) => Ok(Handle::unknown(duplicate(handle, None, false)?)),
        // Opened for the wrong direction.
        None => Ok(Handle { file: super::open_null(number != 0, number == 0)?, kind: Kind::Null }),
    }
}

/// Checks that this process can write to its standard output.
///
/// # Errors
/// As for a handle that is not open, if it has none: `std` would drop all that is written to it.
pub(crate) fn demand_standard_output() -> io::Result<()> {
    match standard_handle(1) {
        Some(_) => Ok(()),
        None => Err(super::super::SystemError::BadHandle.into()),
    }
}

/// Puts NUL in place of this process's standard input and output, which it no longer needs. Their peers
/// then see them closed as soon as the processes that were given them close them.
///
/// # Errors
/// Those of opening NUL.
pub(crate) fn retire_standard_input_and_output() -> io::Result<()> {
    let stderr = standard_handle(2).map(|it| it.as_raw_handle());
    let mut retired = Vec::new();
    for number in 0..2 {
        let before = standard_handle(number).map(|it| it.as_raw_handle());
        let null = super::open_null(true, true)?;
        // SAFETY: the handle stays open for ever: it is forgotten.
        unsafe { done(SetStdHandle(name_of(number), null.as_raw_handle()))? };
        std::mem::forget(null);
        if let Some(before) = before.filter(|it| Some(*it) != stderr && !retired.contains(it)) {
            retired.push(before);
        }
    }
    for raw in retired {
        // SAFETY: no standard stream of this process is this handle any more, and whoever has a copy of
        // it has another handle. A console's stays: it is the same for all of the process.
        unsafe {
            if GetFileType(raw) != FILE_TYPE_CHAR {
                drop::<OwnedHandle>(taken(raw)?);
            }
        }
    }
    Ok(())
}
