//! Paths that can be neither changed nor added to, once this process has confined itself.
//!
//! A seccomp filter sees the address of a path, not its text. So the few paths that are still needed
//! then are written to memory that becomes read-only and is sealed (mseal(2)), and the filter permits
//! open(2) and stat(2) with addresses in that memory alone.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use rustix::io::Errno;

/// Descriptors below this can be opened anew in a confined process: twice as many as a guest with a
/// thousand pipes has.
const DESCRIPTORS: usize = 4096;

/// Room for `/proc/self/fd/4095` and its end.
const DESCRIPTOR_SLOT: usize = 32;

/// Room for the longest file name, NAME_MAX, and its end.
const NAME_SLOT: usize = 256;

const NULL_DEVICE: &CStr = c"/dev/null";

static SEALED: OnceLock<Sealed> = OnceLock::new();

/// The paths of a confined process.
#[derive(Debug)]
pub(super) struct Sealed {
    /// What may be opened: the descriptors, each under its number, then /dev/null.
    paths: Area,
    /// What may be looked for in folders.
    names: Area,
    /// Whether the kernel seals memory: Linux 6.10.
    pub(super) lasting: bool,
}

/// Memory whose address is a multiple of its size, a power of two, in slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    start: usize,
    bytes: usize,
    slot: usize,
}

impl Sealed {
    pub(super) fn paths(&self) -> Area {
        self.paths
    }

    pub(super) fn names(&self) -> Area {
        self.names
    }
}

impl Area {
    /// The bits of an address that tell whether it is a slot's.
    pub(super) fn mask(self) -> u64 {
        !(self.bytes as u64 - 1) | (self.slot as u64 - 1)
    }

    /// What those bits are for a slot of this area.
    pub(super) fn value(self) -> u64 {
        self.start as u64
    }

    /// mmap(2): zeroes, which are empty paths.
    fn of(slots: usize, slot: usize) -> io::Result<Self> {
        let bytes = (slots * slot).next_power_of_two().max(64 * 1024);
        // SAFETY: a new mapping, wherever the kernel likes.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                2 * bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // What is mapped beside the aligned part stays so: untouched, it costs nothing.
        Ok(Self { start: (start as usize).next_multiple_of(bytes), bytes, slot })
    }

    fn write(self, at: usize, text: &[u8]) {
        let whole = text.len() < self.slot && (at + 1) * self.slot <= self.bytes;
        debug_assert!(whole, "a slot has room for its text");
        if whole {
            let to = (self.start + at * self.slot) as *mut u8;
            // SAFETY: inside the mapping, which nobody else knows yet; the byte after it is 0 and
            // stays so.
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), to, text.len()) };
        }
    }

    fn text(self, at: usize) -> &'static CStr {
        let from = (self.start + at * self.slot) as *const libc::c_char;
        // SAFETY: inside the mapping, which is never unmapped nor written to any more; each slot
        // ends with a 0 at the latest.
        unsafe { CStr::from_ptr(from) }
    }

    /// Makes it read-only for ever; whether also the kernel will refuse to change that.
    fn seal(self) -> io::Result<bool> {
        let start = self.start as *mut libc::c_void;
        // SAFETY: the mapping is ours, and nobody writes to it any more.
        if unsafe { libc::mprotect(start, self.bytes, libc::PROT_READ) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above; a kernel that does not know the call says so.
        Ok(unsafe { libc::syscall(MSEAL, start, self.bytes, 0) } == 0)
    }
}

/// mseal(2) has this number on all architectures.
const MSEAL: libc::c_long = 462;

/// Makes the paths. `names` are those of the files that may be looked for later. To be called once;
/// later calls change nothing.
///
/// # Errors
/// Those of mmap(2) and mprotect(2).
pub(super) fn seal(names: &[&CStr]) -> io::Result<&'static Sealed> {
    if let Some(sealed) = SEALED.get() {
        return Ok(sealed);
    }
    let paths = Area::of(DESCRIPTORS + 1, DESCRIPTOR_SLOT)?;
    let mut text = *b"/proc/self/fd/\0\0\0\0";
    for number in 0..DESCRIPTORS {
        let digits = write_digits(&mut text[14..], number);
        paths.write(number, &text[..14 + digits]);
    }
    paths.write(DESCRIPTORS, NULL_DEVICE.to_bytes());
    let looked_for = Area::of(names.len(), NAME_SLOT)?;
    for (at, name) in names.iter().enumerate() {
        looked_for.write(at, name.to_bytes());
    }
    let lasting = paths.seal()? & looked_for.seal()?;
    Ok(SEALED.get_or_init(|| Sealed { paths, names: looked_for, lasting }))
}

fn write_digits(to: &mut [u8], number: usize) -> usize {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut rest = number;
    for place in to[..digits].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

/// The path by which what `fd` stands for can be opened anew: proc(5).
pub(super) fn descriptor(fd: BorrowedFd<'_>) -> Cow<'static, CStr> {
    let number = fd.as_raw_fd();
    let slot = usize::try_from(number).ok().filter(|number| *number < DESCRIPTORS);
    match (slot, SEALED.get()) {
        (Some(slot), Some(sealed)) => Cow::Borrowed(sealed.paths.text(slot)),
        // There is no NUL in it.
        _ => Cow::Owned(CString::new(format!("/proc/self/fd/{number}")).unwrap_or_default()),
    }
}

/// /dev/null, as it may be opened.
pub(super) fn null_device() -> &'static CStr {
    SEALED.get().map_or(NULL_DEVICE, |sealed| sealed.paths.text(DESCRIPTORS))
}

/// The name of a file as it may be used in a confined process; as it is where nothing is known of it.
///
/// # Errors
/// EINVAL where it has a NUL in it.
pub(super) fn name(name: &OsStr) -> Result<Cow<'static, CStr>, Errno> {
    if let Some(sealed) = SEALED.get() {
        let slots = sealed.names.bytes / NAME_SLOT;
        let mut known = (0..slots).map(|at| sealed.names.text(at));
        if let Some(known) = known.find(|known| known.to_bytes() == name.as_bytes()) {
            return Ok(Cow::Borrowed(known));
        }
    }
    CString::new(name.as_bytes()).map(Cow::Owned).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn sealed_paths_are_what_they_should_be() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let sealed = seal(&[c"a.fifo", c"b"]).unwrap();
        let path = descriptor(file.as_fd());
        assert_eq!(path.to_str().unwrap(), format!("/proc/self/fd/{}", file.as_raw_fd()));
        assert_eq!(path.as_ptr() as u64 & sealed.paths.mask(), sealed.paths.value());
        assert_ne!((path.as_ptr() as u64 + 1) & sealed.paths.mask(), sealed.paths.value());
        for number in [0, 9, 10, 99, 100, 4095] {
            let text = sealed.paths.text(number).to_str().unwrap();
            assert_eq!(text, format!("/proc/self/fd/{number}"));
        }
        assert_eq!(null_device(), c"/dev/null");
        let name = name("b".as_ref()).unwrap();
        assert_eq!(name.as_ptr() as u64 & sealed.names.mask(), sealed.names.value());
        assert_eq!(&*super::name("else".as_ref()).unwrap(), c"else");
        assert_eq!(super::name("a\0b".as_ref()), Err(Errno::INVAL));
    }
}
