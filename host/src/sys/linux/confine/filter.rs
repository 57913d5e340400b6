//! The system calls that stay permitted. The list was found by running all tests, and each entry says
//! what it is for. Every other call fails with EPERM, and the host goes on without it.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::super::super::unix::native;
use super::super::monitor;
use super::SandboxPolicy;

/// Calls that can do no harm with what this process has: they act on its descriptors, its own memory,
/// its own threads, and the clocks. None of them takes a path.
const HARMLESS: &[libc::c_long] = &[
    // Bytes.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    // Descriptors: pipes, copies, readiness.
    libc::SYS_pipe2,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    // Memory. wasmtime keeps a guest's first memory in a memfd.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_memfd_create,
    libc::SYS_membarrier,
    // Threads.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // Signals that arrive.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Children that have ended.
    libc::SYS_wait4,
    // Clocks, random numbers, and the process's own ids.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
];

/// Older calls like those of [`HARMLESS`] that only this architecture has.
#[cfg(target_arch = "x86_64")]
const HARMLESS_HERE: &[libc::c_long] =
    &[libc::SYS_poll, libc::SYS_epoll_wait, libc::SYS_dup2, libc::SYS_pipe, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const HARMLESS_HERE: &[libc::c_long] = &[];

/// Calls that read files in a granted folder. Landlock bounds which files.
const FOLDERS: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_fadvise64,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
];

/// Calls that change files in a folder that may be written to.
const WRITABLE_FOLDERS: &[libc::c_long] = &[
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_utimensat,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
];

/// Calls for native commands that run.
const NATIVES: &[libc::c_long] = &[libc::SYS_waitid, libc::SYS_pidfd_open];

/// Calls that send requests to the monitor, and close the connection.
const MONITOR: &[libc::c_long] = &[libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_shutdown];

/// The permitted ioctl(2)s: how much a pipe holds, whether a file is a terminal. TIOCSTI is not among
/// them: it makes a terminal believe that its user has typed something.
const IOCTLS: &[u64] = &[libc::FIONREAD, libc::TCGETS, libc::TIOCGWINSZ, libc::FIONBIO];

/// The permitted fcntl(2)s: copies, flags, how much a pipe holds. F_SETOWN and F_SETSIG are not among
/// them: they make the kernel send signals to any process.
const FCNTLS: &[i32] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETPIPE_SZ,
    libc::F_SETPIPE_SZ,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];

/// The permitted prctl(2)s: a thread's name, a mapping's name, and what the kernel passed at the start.
/// Becoming dumpable again is not among them.
const PRCTLS: &[i32] = &[libc::PR_SET_NAME, PR_SET_VMA, PR_GET_AUXV];
const PR_SET_VMA: i32 = 0x5356_4d41;
const PR_GET_AUXV: i32 = 0x4155_5856;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Has the kernel refuse every call that is not permitted, to all threads of this process. Returns
/// whether the kernel can filter calls.
///
/// # Errors
/// Fails if the kernel can filter calls, but a thread has another filter.
pub(super) fn install(policy: &SandboxPolicy) -> io::Result<bool> {
    if !is_there() {
        return Ok(false);
    }
    let program = compile(policy).map_err(io::Error::other)?;
    let unknown = unknown_calls().map_err(io::Error::other)?;
    // The first filter must let the second be installed.
    for program in [unknown, program] {
        seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)?;
    }
    Ok(true)
}

/// Returns whether the kernel can refuse calls: SECCOMP_GET_ACTION_AVAIL of seccomp(2).
fn is_there() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: reads the action, which lives until the call is over.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    answer == 0
}

fn architecture() -> Result<TargetArch, seccompiler::BackendError> {
    std::env::consts::ARCH.try_into()
}

/// Calls that get ENOSYS, as on an older kernel: the C library and `std` then do without them. A filter
/// cannot see the arguments of clone3(2) and openat2(2), but it can see those of clone(2).
fn unknown_calls() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = [(libc::SYS_clone3, Vec::new())].into_iter().collect();
    let errno = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture()?)?.try_into()
}

fn compile(policy: &SandboxPolicy) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: Rules = HARMLESS
        .iter()
        .chain(HARMLESS_HERE)
        // The other filter refuses it.
        .chain(&[libc::SYS_clone3])
        .map(|call| (*call, Vec::new()))
        .collect();
    let mut permit = |call: libc::c_long, rule: Vec<SeccompCondition>| {
        rules.entry(call).or_default().push(SeccompRule::new(rule)?);
        Ok::<_, seccompiler::BackendError>(())
    };
    // Memory for data only: no new code can be mapped.
    permit(libc::SYS_mmap, vec![without(2, libc::PROT_EXEC)?])?;
    permit(libc::SYS_mprotect, vec![without(2, libc::PROT_EXEC)?])?;
    // Threads only, no processes.
    permit(libc::SYS_clone, vec![bits(0, libc::CLONE_THREAD as u64, libc::CLONE_THREAD as u64)?])?;
    // Signals between threads, and to this process.
    let process = u64::from(std::process::id());
    permit(libc::SYS_tgkill, vec![equals(0, process)?])?;
    permit(libc::SYS_kill, vec![equals(0, process)?])?;
    for number in native::signalled() {
        // As the kernel sees it: 32 bits.
        permit(libc::SYS_kill, vec![equals(0, u64::from(number.cast_unsigned()))?])?;
    }
    for request in IOCTLS {
        permit(libc::SYS_ioctl, vec![equals(1, *request)?])?;
    }
    for request in FCNTLS {
        permit(libc::SYS_fcntl, vec![equals(1, u64::from(request.unsigned_abs()))?])?;
    }
    for option in PRCTLS {
        permit(libc::SYS_prctl, vec![equals(0, u64::from(option.unsigned_abs()))?])?;
    }
    // Standard streams can be sockets: bytes are permitted, an address is not.
    permit(libc::SYS_recvfrom, vec![bits(4, u64::MAX, 0)?])?;
    permit(libc::SYS_sendto, vec![bits(4, u64::MAX, 0)?])?;

    // An entry without rules permits the call with any arguments.
    let mut whole = |calls: &[libc::c_long]| {
        rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    };
    if !policy.folders.is_empty() {
        whole(FOLDERS);
    }
    if policy.folders.iter().any(|(_, access)| access.write) {
        whole(WRITABLE_FOLDERS);
    }
    if policy.natives {
        whole(NATIVES);
    }
    if monitor::is_there() {
        whole(MONITOR);
    }
    let errno = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, errno, SeccompAction::Allow, architecture()?)?.try_into()
}

fn bits(
    argument: u8,
    mask: u64,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    let compare = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, compare, value)
}

fn without(argument: u8, flag: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    bits(argument, u64::from(flag.unsigned_abs()), 0)
}

fn equals(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    // If the kernel looks at 32 bits only, the other bits may be anything.
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}
