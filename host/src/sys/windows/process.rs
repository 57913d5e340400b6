//! Starts a process: found and quoted as by the standard library, whose `Command` has no list of handles to
//! inherit. The process gets those of a list, and is in its jobs before it runs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::iter::repeat_n;
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::io::{AsHandle as _, AsRawHandle as _, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{
    CREATE_UNICODE_ENVIRONMENT, CreateProcessW, DeleteProcThreadAttributeList,
    EXTENDED_STARTUPINFO_PRESENT, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_JOB_LIST, PROCESS_INFORMATION,
    STARTF_USESTDHANDLES, STARTUPINFOEXW, UpdateProcThreadAttribute,
};

use super::calls::{done, duplicate, taken, wide};
use super::handle::Handle;

/// The ending of programs.
const PROGRAM: &str = ".exe";

/// A process to start.
pub(super) struct NewProcess<'a> {
    pub(super) program: &'a OsStr,
    pub(super) args: &'a [OsString],
    /// All its variables.
    pub(super) variables: Vec<(OsString, OsString)>,
    pub(super) standard: [&'a Handle; 3],
    /// What else it inherits: see [`inheritable`].
    pub(super) others: &'a [OwnedHandle],
    pub(super) jobs: [&'a OwnedHandle; 2],
    pub(super) flags: u32,
}

/// Returns a copy that a process can inherit, with the same number there, if it is listed.
///
/// # Errors
/// Those of `DuplicateHandle`.
pub(super) fn inheritable(handle: &Handle) -> io::Result<OwnedHandle> {
    duplicate(handle.file.as_handle(), None, true)
}

impl NewProcess<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for a batch file, whose arguments no quoting makes safe, and for a text with
    /// a zero in it; those of `CreateProcessW`.
    pub(super) fn start(self) -> io::Result<OwnedHandle> {
        let program = find(self.program)?;
        let path = wide(program.as_os_str())?;
        let mut line = command_line(self.program, self.args)?;
        let environment = environment(self.variables)?;
        let [stdin, stdout, stderr] = self.standard;
        let standard = [inheritable(stdin)?, inheritable(stdout)?, inheritable(stderr)?];
        let handles = standard.iter().chain(self.others).map(|it| it.as_raw_handle()).collect();
        let jobs = self.jobs.iter().map(|it| it.as_raw_handle()).collect();
        let attributes = Attributes::new(handles, jobs)?;

        let mut startup = STARTUPINFOEXW::default();
        startup.StartupInfo.cb = u32::try_from(size_of_val(&startup)).unwrap_or(0);
        startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        startup.StartupInfo.hStdInput = standard[0].as_raw_handle();
        startup.StartupInfo.hStdOutput = standard[1].as_raw_handle();
        startup.StartupInfo.hStdError = standard[2].as_raw_handle();
        startup.lpAttributeList = attributes.list;
        let flags = self.flags | EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT;
        let mut made = PROCESS_INFORMATION::default();
        // SAFETY: all texts end with a zero, and the environment with two; they, the attributes and the
        // handles live during the call. The two handles that it returns are this process's alone.
        unsafe {
            done(CreateProcessW(
                path.as_ptr(),
                line.as_mut_ptr(),
                null(),
                null(),
                1,
                flags,
                environment.as_ptr().cast(),
                null(),
                (&raw const startup.StartupInfo).cast(),
                &raw mut made,
            ))?;
            drop(taken(made.hThread));
            taken(made.hProcess)
        }
    }
}

/// Which handles a process inherits, and which jobs it is in.
struct Attributes {
    list: LPPROC_THREAD_ATTRIBUTE_LIST,
    _memory: Vec<u64>,
    handles: Vec<HANDLE>,
    jobs: Vec<HANDLE>,
}

impl Attributes {
    fn new(handles: Vec<HANDLE>, jobs: Vec<HANDLE>) -> io::Result<Self> {
        let mut length = 0;
        // SAFETY: asks for the length only.
        unsafe { InitializeProcThreadAttributeList(null_mut(), 2, 0, &raw mut length) };
        let mut memory = vec![0_u64; length.div_ceil(size_of::<u64>())];
        let list: LPPROC_THREAD_ATTRIBUTE_LIST = memory.as_mut_ptr().cast();
        // SAFETY: the memory is as long as the call has asked for.
        unsafe { done(InitializeProcThreadAttributeList(list, 2, 0, &raw mut length))? };
        let attributes = Self { list, _memory: memory, handles, jobs };
        for (name, values) in [
            (PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &attributes.handles),
            (PROC_THREAD_ATTRIBUTE_JOB_LIST, &attributes.jobs),
        ] {
            // SAFETY: the list has room for two, and keeps a pointer to the values, which live as long.
            unsafe {
                done(UpdateProcThreadAttribute(
                    attributes.list,
                    0,
                    name as usize,
                    values.as_ptr().cast(),
                    size_of_val(&values[..]),
                    null_mut(),
                    null(),
                ))?;
            }
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the list was made by `new`, and is not used again.
        unsafe { DeleteProcThreadAttributeList(self.list) };
    }
}

/// Looks for a program as the standard library does: by its path, or in the folders of this program, of the
/// system and of PATH. A name without an ending stands for `.exe`.
///
/// # Errors
/// `NotFound`, and `InvalidInput` for a batch file.
pub(super) fn find(program: &OsStr) -> io::Result<PathBuf> {
    let found = found(Path::new(program)).ok_or(io::ErrorKind::NotFound)?;
    match is_batch(&found) {
        true => {
            let why = "a batch file takes no arguments safely; start it by cmd.exe /d /c, if you know them";
            Err(io::Error::new(io::ErrorKind::InvalidInput, why))
        }
        false => Ok(found),
    }
}

/// Returns whether the system takes a file for a batch file. It passes over spaces and dots at the end of a name.
fn is_batch(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let ending = Path::new(name.trim_end_matches([' ', '.'])).extension().unwrap_or_default();
    ["bat", "cmd"].iter().any(|it| ending.eq_ignore_ascii_case(it))
}

fn found(program: &Path) -> Option<PathBuf> {
    let is_name = program.file_name() == Some(program.as_os_str());
    if is_name {
        let own = std::env::current_exe().ok();
        let own = own.iter().filter_map(|it| it.parent()).map(PathBuf::from);
        let system = std::env::var_os("SystemRoot").map(PathBuf::from);
        let system = system.iter().flat_map(|it| [it.join("System32"), it.clone()]);
        let paths = std::env::var_os("PATH").unwrap_or_default();
        // An empty one would stand for the working directory.
        let paths = std::env::split_paths(&paths).filter(|it| !it.as_os_str().is_empty());
        let folders: Vec<_> = own.chain(system).chain(paths).collect();
        let whole = match program.extension() {
            None => program.with_extension(&PROGRAM[1..]),
            Some(_) => program.into(),
        };
        return folders.iter().map(|it| it.join(&whole)).find(|it| it.is_file());
    }
    let ends = program.as_os_str().as_encoded_bytes();
    let has_ending = ends.len() > PROGRAM.len()
        && ends[ends.len() - PROGRAM.len()..].eq_ignore_ascii_case(PROGRAM.as_bytes());
    let mut whole = program.as_os_str().to_owned();
    if !has_ending {
        whole.push(PROGRAM);
    }
    [PathBuf::from(whole), program.into()].into_iter().find(|it| it.is_file())
}

/// Returns the line from which a program's C library gets these arguments.
fn command_line(program: &OsStr, args: &[OsString]) -> io::Result<Vec<u16>> {
    let mut line = vec![QUOTE];
    if program.encode_wide().any(|it| it == QUOTE) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is a quote in the program's name",
        ));
    }
    line.extend(program.encode_wide());
    line.push(QUOTE);
    for arg in args {
        line.push(SPACE);
        push_quoted(&mut line, arg);
    }
    match line.contains(&0) {
        true => Err(io::Error::new(io::ErrorKind::InvalidInput, "there is a NUL in it")),
        false => {
            line.push(0);
            Ok(line)
        }
    }
}

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;
const SPACE: u16 = b' ' as u16;
const TAB: u16 = b'\t' as u16;

/// Adds an argument. Backslashes stand for themselves, but for those in front of a quote: each is doubled, and
/// one more takes its meaning from the quote.
fn push_quoted(line: &mut Vec<u16>, arg: &OsStr) {
    let is_quoted = arg.is_empty() || arg.encode_wide().any(|it| [SPACE, TAB].contains(&it));
    if is_quoted {
        line.push(QUOTE);
    }
    let mut backslashes = 0;
    for it in arg.encode_wide() {
        if it == QUOTE {
            line.extend(repeat_n(BACKSLASH, backslashes + 1));
        }
        backslashes = if it == BACKSLASH { backslashes + 1 } else { 0 };
        line.push(it);
    }
    if is_quoted {
        line.extend(repeat_n(BACKSLASH, backslashes));
        line.push(QUOTE);
    }
}

/// Returns the variables as a process takes them: sorted, each with a zero at its end, and one more at the end
/// of all. Of names that differ by case only, the last counts.
fn environment(variables: Vec<(OsString, OsString)>) -> io::Result<Vec<u16>> {
    let mut sorted = BTreeMap::new();
    for (name, value) in variables {
        sorted.insert(name.to_ascii_uppercase(), (name, value));
    }
    let mut block = Vec::new();
    for (mut name, value) in sorted.into_values() {
        name.push("=");
        name.push(value);
        block.extend(wide(&name)?);
    }
    block.extend([0, 0]);
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(program: &str, args: &[&str]) -> String {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let mut line = command_line(program.as_ref(), &args).unwrap();
        assert_eq!(line.pop(), Some(0));
        String::from_utf16(&line).unwrap()
    }

    /// The examples of the C library's documentation, and more.
    #[test]
    fn arguments_are_quoted() {
        for (args, quoted) in [
            (&["abc", "d", "e"][..], r#""p" abc d e"#),
            (&["a b", "c\td", ""][..], "\"p\" \"a b\" \"c\td\" \"\""),
            (&[r#"ab"c"#, r"\", "d"][..], r#""p" ab\"c \ d"#),
            (&[r"a\\\b", "de fg", "h"][..], r#""p" a\\\b "de fg" h"#),
            (&[r#"a\"b"#, r#"a\\"b"#][..], r#""p" a\\\"b a\\\\\"b"#),
            (&[r"c:\a b\"][..], r#""p" "c:\a b\\""#),
        ] {
            assert_eq!(line("p", args), quoted);
        }
        assert_eq!(line(r"C:\a b\p", &[]), r#""C:\a b\p""#);
        command_line("p".as_ref(), &["a\0".into()]).unwrap_err();
        command_line("p\" x".as_ref(), &[]).unwrap_err();
    }

    #[test]
    fn variables_are_sorted_and_their_names_have_no_case() {
        let given = [("b", "2"), ("Path", "x"), ("A", "1"), ("PATH", "y")];
        let given = given.map(|(name, value)| (name.into(), value.into())).to_vec();
        let block = String::from_utf16(&environment(given).unwrap()).unwrap();
        assert_eq!(block, "A=1\0b=2\0PATH=y\0\0\0");
        assert_eq!(environment(Vec::new()).unwrap(), [0, 0]);
    }

    #[test]
    fn programs_are_found_and_batch_files_refused() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own.exe");
        std::fs::write(&own, "").unwrap();
        let without = folder.path().join("own");
        assert_eq!(find(without.as_os_str()).unwrap(), own);
        assert_eq!(find(own.as_os_str()).unwrap(), own);
        for name in ["x.bat", "x.CMD", "y.bat.", "y.cmd ", "y.Bat. . "] {
            assert!(is_batch(Path::new(name)), "{name}");
            let batch = folder.path().join(name);
            std::fs::write(&batch, "").unwrap();
            assert_eq!(find(batch.as_os_str()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        for name in ["bat", "x.bat.exe", "x.batch", "x. bat", ""] {
            assert!(!is_batch(Path::new(name)), "{name}");
        }
        assert!(find("cmd".as_ref()).unwrap().is_file());
        for missing in ["", "no-such-program", r"C:\no-such-folder\x"] {
            assert_eq!(
                find(missing.as_ref()).unwrap_err().kind(),
                io::ErrorKind::NotFound,
                "{missing}"
            );
        }
    }
}
