//! Native commands: starts them on pipe ends, tells how they ended, and leaves none behind.
//!
//! All of them are in one job, which ends with this process, however that ends. Each is in a job of its
//! own, too, with all that it starts.

use std::ffi::OsStr;
use std::io;
use std::os::windows::io::{AsRawHandle as _, OwnedHandle};
use std::ptr::null;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use windows_sys::Win32::Foundation::{FILETIME, STATUS_CONTROL_C_EXIT, WAIT_OBJECT_0};
use windows_sys::Win32::System::Console::GetConsoleCP;
use windows_sys::Win32::System::JobObjects::{
    CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectExtendedLimitInformation, SetInformationJobObject, TerminateJobObject,
};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::{
    CREATE_NEW_PROCESS_GROUP, GetExitCodeProcess, GetProcessTimes, TerminateProcess,
    WaitForSingleObject,
};

use super::super::{MOST_OTHERS, NativeCommand, NativeEnd, Stop, Usage};
use super::calls::{done, taken};
use super::inherited::GIVEN;
use super::overlapped::Wake;
use super::process::{NewProcess, inheritable};

/// The exit code of a command that this process ends, without the number of the signal that stands for
/// how. It is one of a customer's, which no system call returns.
const ENDED: u32 = 0xe050_4800;

/// The number of SIGKILL.
const KILL: u32 = 9;

/// The number of SIGABRT, which stands for all errors by which the system ends a process.
const ABORT: u8 = 6;

/// From here on, an exit code is the error by which the system ended the process.
const ERRORS: u32 = 0xc000_0000;

/// A running native command. Dropping it ends the command, and all that it has started.
#[derive(Debug)]
pub(crate) struct Native {
    // Dropped first: it waits for the process.
    wake: Option<Wake>,
    process: OwnedHandle,
    job: OwnedHandle,
    ended: Arc<Notify>,
    leads: bool,
}

/// True if this process is about to end without tidying up.
static LEAVING: AtomicBool = AtomicBool::new(false);

/// Returns the job of all commands: the system ends them when this process ends.
fn all() -> io::Result<&'static OwnedHandle> {
    static ALL: OnceLock<OwnedHandle> = OnceLock::new();
    if let Some(job) = ALL.get() {
        return Ok(job);
    }
    let job = new_job()?;
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    // SAFETY: the structure is the one that the class names.
    unsafe {
        done(SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            u32::try_from(size_of_val(&limits)).unwrap_or(0),
        ))?;
    }
    Ok(ALL.get_or_init(|| job))
}

fn new_job() -> io::Result<OwnedHandle> {
    // SAFETY: no attributes and no name.
    unsafe { taken(CreateJobObjectW(null(), null())) }
}

impl NativeCommand {
    /// Starts the command, with its arguments quoted as the standard library does. Batch files are refused:
    /// no quoting makes their arguments safe.
    ///
    /// The command inherits the environment, the current folder, and the handles that it is given. Those
    /// besides the standard ones stand in variables: `PIPEHOST_FD_3` names the handle for descriptor 3.
    ///
    /// With a console, the command gets what is typed there, such as Ctrl-C, directly from the console.
    ///
    /// Must be called inside a tokio runtime that outlives the command.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied` and all others of `CreateProcessW`.
    pub(crate) fn start(self) -> io::Result<Native> {
        if self.others.len() > MOST_OTHERS {
            return Err(io::Error::other("a command can be given 64 descriptors at most"));
        }
        if LEAVING.load(Ordering::SeqCst) {
            return Err(io::Error::other("this process is about to end"));
        }
        let leads = !has_console();
        let mut variables: Vec<_> =
            std::env::vars_os().filter(|(name, _)| !names_handle(name)).collect();
        // Until the command has them, others that this process starts without a list could get them, too.
        let mut others = Vec::new();
        for (number, handle) in &self.others {
            let copy = inheritable(handle)?;
            let kind = if handle.is_overlapped() { "o" } else { "" };
            let value = format!("{}{kind}", copy.as_raw_handle().addr());
            variables.push((format!("{GIVEN}{number}").into(), value.into()));
            others.push(copy);
        }
        let job = new_job()?;
        let process = NewProcess {
            program: &self.program,
            args: &self.args,
            variables,
            standard: [&self.stdin, &self.stdout, &self.stderr],
            others: &others,
            jobs: [all()?, &job],
            flags: if leads { CREATE_NEW_PROCESS_GROUP } else { 0 },
        };
        let process = process.start()?;
        let mut native = Native { wake: None, process, job, ended: Arc::default(), leads };
        // From here on, an early return ends the command.
        native.wake = Some(Wake::when(&native.process, &native.ended)?);
        if LEAVING.load(Ordering::SeqCst) {
            return Err(io::Error::other("this process is about to end"));
        }
        Ok(native)
    }
}

/// Returns whether a variable of this name stands for a handle. To Windows, case makes no other name.
fn names_handle(name: &OsStr) -> bool {
    let start = name.as_encoded_bytes().get(..GIVEN.len());
    start.is_some_and(|it| it.eq_ignore_ascii_case(GIVEN.as_bytes()))
}

/// Returns whether this process has a console, from which its commands get what is typed.
fn has_console() -> bool {
    // SAFETY: asks for a number, which is 0 without a console.
    unsafe { GetConsoleCP() != 0 }
}

impl Native {
    /// Ends the command and all that it has started. Windows has no request to end that every program
    /// would understand: what is typed at the console reaches the command from there.
    pub(crate) fn stop(&self, stop: Stop) {
        if self.leads || !stop.is_typed() {
            self.end(stop.number().into());
        }
    }

    /// Ends the command and all that it has started, at once.
    pub(crate) fn kill(&self) {
        self.end(KILL);
    }

    fn end(&self, signal: u32) {
        // SAFETY: the handles are open.
        unsafe {
            TerminateJobObject(self.job.as_raw_handle(), ENDED | signal);
            TerminateProcess(self.process.as_raw_handle(), ENDED | signal);
        }
    }

    /// Returns whether the command does not get what is typed at a console.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// Waits until the command has ended, and returns how it ended and what it used. Cancel safe.
    ///
    /// # Errors
    /// The system's.
    pub(crate) async fn wait(&mut self) -> io::Result<(NativeEnd, Usage)> {
        loop {
            let mut woken = std::pin::pin!(self.ended.notified());
            woken.as_mut().enable();
            // SAFETY: the handle is open, and nothing is waited for.
            if unsafe { WaitForSingleObject(self.process.as_raw_handle(), 0) } == WAIT_OBJECT_0 {
                return self.result();
            }
            woken.await;
        }
    }

    fn result(&self) -> io::Result<(NativeEnd, Usage)> {
        let process = self.process.as_raw_handle();
        let mut code = 0;
        let [mut made, mut gone, mut kernel, mut user] = [FILETIME::default(); 4];
        let mut memory = PROCESS_MEMORY_COUNTERS::default();
        // SAFETY: the handle is open, and there is a place for each answer.
        unsafe {
            done(GetExitCodeProcess(process, &raw mut code))?;
            GetProcessTimes(process, &raw mut made, &raw mut gone, &raw mut kernel, &raw mut user);
            let size = u32::try_from(size_of_val(&memory)).unwrap_or(0);
            K32GetProcessMemoryInfo(process, &raw mut memory, size);
        }
        let usage =
            Usage { cpu: time(kernel) + time(user), memory: memory.PeakWorkingSetSize as u64 };
        Ok((end_of(code), usage))
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns what an exit code says.
fn end_of(code: u32) -> NativeEnd {
    match code {
        code if code & !0xff == ENDED => NativeEnd::Signaled((code & 0x7f) as u8),
        code if code.cast_signed() == STATUS_CONTROL_C_EXIT => {
            NativeEnd::Signaled(Stop::Interrupt.number())
        }
        ERRORS.. => NativeEnd::Signaled(ABORT),
        // A shell that knows only a byte would take 256 for success.
        256.. if code & 0xff == 0 => NativeEnd::Exited(255),
        code => NativeEnd::Exited((code & 0xff) as u8),
    }
}

/// Returns the time in a FILETIME: units of 100 ns.
pub(super) fn time(time: FILETIME) -> Duration {
    let units = u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    Duration::from_nanos(units.saturating_mul(100))
}

/// Ends all native commands that this process has started. Called when this process ends without
/// tidying up.
pub(crate) fn kill_natives() {
    LEAVING.store(true, Ordering::SeqCst);
    if let Ok(job) = all() {
        // SAFETY: the handle is open.
        unsafe { TerminateJobObject(job.as_raw_handle(), ENDED | KILL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        for (code, end) in [
            (0, NativeEnd::Exited(0)),
            (3, NativeEnd::Exited(3)),
            (256, NativeEnd::Exited(255)),
            (257, NativeEnd::Exited(1)),
            (ENDED | 15, NativeEnd::Signaled(15)),
            (0xc000_013a, NativeEnd::Signaled(2)),
            (0xc000_0005, NativeEnd::Signaled(6)),
        ] {
            assert_eq!(end_of(code), end, "{code:x}");
        }
    }
}
