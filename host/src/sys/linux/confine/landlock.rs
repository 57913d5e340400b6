//! Bounds which files can be opened to those that were granted.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope,
};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::super::unix::native;
use super::{Access, SandboxPolicy};

/// The newest version of Landlock of which this handles every right. On an older kernel, it handles
/// those that the kernel knows.
const KNOWN: ABI = ABI::V7;

/// The oldest version that bounds what the seccomp filter does not: truncating a file that may only be
/// read. The filter does bound devices and signals, which later versions bound too.
pub(super) const WANTED: i32 = 3;

/// Since this version, threads that confined themselves one by one may send each other signals.
const THREADS_SIGNAL: i32 = 7;

/// Lets this thread, and those that it starts later, open what the policy grants and nothing else.
/// `version` is the result of [`version`].
///
/// # Errors
/// Fails if the kernel refuses a rule.
pub(super) fn bound_this_thread(policy: &SandboxPolicy, version: i32) -> io::Result<()> {
    let ruleset = handled(version).map_err(io::Error::other)?;
    let null = match rustix::fs::openat(CWD, "/dev/null", OFlags::PATH, Mode::empty()) {
        Ok(null) => Some(null),
        // If /dev/null does not exist, it cannot be opened later either.
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error.into()),
    };
    let ruleset = rules(ruleset, policy, null).map_err(io::Error::other)?;
    ruleset.restrict_self().map_err(io::Error::other)?;
    Ok(())
}

/// Forbids this thread, and those that it starts later, to open any file.
///
/// # Errors
/// Fails if the kernel has no Landlock, or refuses.
pub(super) fn renounce() -> io::Result<()> {
    let version = version().ok_or(io::ErrorKind::Unsupported)?;
    handled(version).and_then(RulesetCreated::restrict_self).map_err(io::Error::other)?;
    Ok(())
}

/// Returns Landlock's version: LANDLOCK_CREATE_RULESET_VERSION of landlock_create_ruleset(2). Returns
/// `None` if there is no Landlock, or it is switched off.
pub(super) fn version() -> Option<i32> {
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call only returns a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, 1) };
    i32::try_from(version).ok().filter(|version| *version > 0)
}

type Failed = landlock::RulesetError;

fn handled(version: i32) -> Result<RulesetCreated, Failed> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::AbstractUnixSocket)?;
    // Native commands run outside the fence and must get signals too: from this process, which the
    // filter bounds to them, and from the kernel when this process dies (PR_SET_PDEATHSIG).
    if version >= THREADS_SIGNAL && native::signalled().is_empty() {
        ruleset = ruleset.scope(Scope::Signal)?;
    }
    ruleset.create()
}

fn rules(
    mut ruleset: RulesetCreated,
    policy: &SandboxPolicy,
    null: Option<OwnedFd>,
) -> Result<RulesetCreated, Failed> {
    for (fd, access) in &policy.files {
        if let Some(rights) = rights_of_file(fd, *access) {
            ruleset = ruleset.add_rule(PathBeneath::new(fd, rights))?;
        }
    }
    for (fd, access) in &policy.folders {
        let mut rights = AccessFs::from_read(KNOWN) & !AccessFs::Execute;
        if access.write {
            // A guest's folders are not for devices and sockets.
            rights |= AccessFs::from_write(KNOWN)
                & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock)
                & !AccessFs::IoctlDev;
        }
        ruleset = ruleset.add_rule(PathBeneath::new(fd, rights))?;
    }
    if let Some(null) = null {
        let rights = AccessFs::ReadFile | AccessFs::WriteFile;
        ruleset = ruleset.add_rule(PathBeneath::new(null, rights))?;
    }
    Ok(ruleset)
}

/// Returns the rights to open a descriptor's file once more. Returns `None` if no rule bounds it, as it
/// lies in no folder, or if it is never opened again.
fn rights_of_file(fd: impl AsFd, access: Access) -> Option<BitFlags<AccessFs>> {
    let stat = rustix::fs::fstat(&fd).ok()?;
    let device = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => BitFlags::EMPTY,
        FileType::CharacterDevice => AccessFs::IoctlDev.into(),
        _ => return None,
    };
    // An anonymous pipe lies in a file system of its own kind, and Landlock does not bound it.
    if rustix::fs::fstatfs(&fd).is_ok_and(|kind| kind.f_type == PIPEFS) {
        return None;
    }
    let mut rights = device;
    if access.read {
        rights |= AccessFs::ReadFile;
    }
    if access.write {
        rights |= AccessFs::WriteFile;
    }
    Some(rights)
}

/// PIPEFS_MAGIC of <linux/magic.h>.
const PIPEFS: i64 = 0x5049_5045;
