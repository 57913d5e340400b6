//! Who this process's user is, and who owns and may use a thing.

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle as _, BorrowedHandle};
use std::ptr::null_mut;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HLOCAL, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce,
    GetSidSubAuthority, GetSidSubAuthorityCount, GetTokenInformation, INHERIT_ONLY_ACE,
    IsWellKnownSid, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
    TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid, WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_WRITE_DATA, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::SystemServices::ACCESS_ALLOWED_ACE_TYPE;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::calls::{done, taken};

/// The rights by which another user could change a folder, or what lies in it.
const CHANGES: u32 =
    FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_DELETE_CHILD | DELETE | WRITE_DAC | WRITE_OWNER;

/// The user of this process: a TOKEN_USER and its SID, in memory of its alignment.
fn user() -> io::Result<&'static [u64]> {
    static USER: OnceLock<Vec<u64>> = OnceLock::new();
    if let Some(user) = USER.get() {
        return Ok(user);
    }
    let mut token = null_mut();
    // A SID has 68 bytes at most.
    let mut memory = vec![0_u64; 32];
    let mut length = 0;
    // SAFETY: the token is this process's, and is closed when it is dropped. The memory is as long as
    // is said, and aligned for a TOKEN_USER.
    unsafe {
        done(OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token))?;
        let token = taken(token)?;
        let room = u32::try_from(size_of_val(&memory[..])).unwrap_or(0);
        let to = memory.as_mut_ptr().cast();
        done(GetTokenInformation(token.as_raw_handle(), TokenUser, to, room, &raw mut length))?;
    }
    Ok(USER.get_or_init(|| memory))
}

/// Returns the SID of this process's user.
fn user_sid() -> io::Result<PSID> {
    let user = user()?.as_ptr().cast::<TOKEN_USER>();
    // SAFETY: `user` holds a TOKEN_USER. Its SID lies in the same memory, which is never freed or moved.
    Ok(unsafe { (*user).User.Sid })
}

/// Memory that the system has allocated.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: it was allocated by a call that says to free it so, and is freed once.
        unsafe { LocalFree(self.0 as HLOCAL) };
    }
}

/// Returns the SID of this process's user as text: `S-1-5-21-...`.
fn user_text() -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: the SID is valid. The text ends with a zero, and is freed when it has been copied.
    unsafe {
        done(ConvertSidToStringSidW(user_sid()?, &raw mut text))?;
        let _freed = Local(text.cast());
        let mut length = 0;
        while *text.add(length) != 0 {
            length += 1;
        }
        Ok(String::from_utf16_lossy(std::slice::from_raw_parts(text, length)))
    }
}

/// What says that only this process's user may use a new thing. It stays as long as the process.
#[derive(Clone, Copy)]
struct Descriptor(PSECURITY_DESCRIPTOR);

// SAFETY: nothing changes it.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

/// Returns the attributes of a pipe that only this process's user may use.
///
/// # Errors
/// Those of asking for the user.
pub(super) fn for_pipe() -> io::Result<SECURITY_ATTRIBUTES> {
    static MADE: OnceLock<Descriptor> = OnceLock::new();
    attributes(&MADE, |user| format!("O:{user}D:P(A;;GA;;;{user})"))
}

/// Returns the attributes of a folder that only this process's user and the system may use.
///
/// # Errors
/// Those of asking for the user.
pub(super) fn for_folder() -> io::Result<SECURITY_ATTRIBUTES> {
    static MADE: OnceLock<Descriptor> = OnceLock::new();
    attributes(&MADE, |user| format!("O:{user}D:P(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)"))
}

fn attributes(
    made: &OnceLock<Descriptor>,
    text: impl FnOnce(&str) -> String,
) -> io::Result<SECURITY_ATTRIBUTES> {
    let descriptor = match made.get() {
        Some(descriptor) => *descriptor,
        None => {
            let text = super::calls::wide(text(&user_text()?).as_ref())?;
            let mut descriptor = null_mut();
            // SAFETY: the text ends with a zero. What comes of it is kept for ever.
            unsafe {
                done(ConvertStringSecurityDescriptorToSecurityDescriptorW(
                    text.as_ptr(),
                    SDDL_REVISION_1,
                    &raw mut descriptor,
                    null_mut(),
                ))?;
            }
            *made.get_or_init(|| Descriptor(descriptor))
        }
    };
    Ok(SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
        lpSecurityDescriptor: descriptor.0,
        bInheritHandle: 0,
    })
}

/// Whose a thing is, and who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ownership {
    /// `None` if it is this user's, or one's who may do anything anyway. Else the last number of the
    /// owner's SID.
    pub(super) stranger: Option<u32>,
    /// Whether other users may change it.
    pub(super) exposed: bool,
}

/// Returns whose an open file, folder or pipe is.
///
/// # Errors
/// Those of `GetSecurityInfo`: the handle must have READ_CONTROL.
pub(super) fn ownership(file: BorrowedHandle<'_>) -> io::Result<Ownership> {
    let (mut owner, mut dacl, mut descriptor) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the handle is open, and there are places for what comes of it.
    let answer = unsafe {
        GetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            &raw mut dacl,
            null_mut(),
            &raw mut descriptor,
        )
    };
    if answer != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(answer.cast_signed()));
    }
    let _freed = Local(descriptor);
    if owner.is_null() {
        // wine has such things. Nobody vouches for them.
        return Ok(Ownership { stranger: Some(0), exposed: true });
    }
    // SAFETY: owner and list are valid as long as the descriptor.
    unsafe {
        let stranger = match is_trusted(owner)? {
            true => None,
            false => Some(last_number(owner)),
        };
        Ok(Ownership { stranger, exposed: others_may_change(dacl)? })
    }
}

/// Returns whether the user may do anything to this process anyway.
///
/// # Safety
/// The SID is valid.
unsafe fn is_trusted(sid: PSID) -> io::Result<bool> {
    // SAFETY: the caller says that the SID is valid.
    unsafe {
        Ok(EqualSid(sid, user_sid()?) != 0
            || IsWellKnownSid(sid, WinBuiltinAdministratorsSid) != 0
            || IsWellKnownSid(sid, WinLocalSystemSid) != 0)
    }
}

/// # Safety
/// The SID is valid.
unsafe fn last_number(sid: PSID) -> u32 {
    // SAFETY: the caller says that the SID is valid, and only a number that it has is asked for.
    unsafe {
        match u32::from(*GetSidSubAuthorityCount(sid)) {
            0 => 0,
            count => *GetSidSubAuthority(sid, count - 1),
        }
    }
}

/// Returns whether the list permits a change to any other user.
///
/// # Safety
/// The list is valid, or null, which permits everything to all.
unsafe fn others_may_change(dacl: *const ACL) -> io::Result<bool> {
    if dacl.is_null() {
        return Ok(true);
    }
    // SAFETY: the caller says that the list is valid. An entry is read as what its header says.
    unsafe {
        for at in 0..u32::from((*dacl).AceCount) {
            let mut entry = null_mut();
            done(GetAce(dacl, at, &raw mut entry))?;
            let header = *entry.cast::<ACE_HEADER>();
            let later = u32::from(header.AceFlags) & INHERIT_ONLY_ACE != 0;
            if later || u32::from(header.AceType) != ACCESS_ALLOWED_ACE_TYPE {
                continue;
            }
            let entry = entry.cast::<ACCESS_ALLOWED_ACE>();
            let sid: PSID = (&raw mut (*entry).SidStart).cast();
            if (*entry).Mask & CHANGES != 0 && !is_trusted(sid)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
