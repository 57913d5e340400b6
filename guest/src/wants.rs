//! What a guest declares that it wants: the custom section `pipehost:wants`, written at compile time.

/// Declares what this guest wants to be granted, for whoever runs it. It grants nothing.
///
/// On a terminal, `pipehost run` asks for what is declared and not granted, and can remember the answer for this very file. Elsewhere
/// it says what to type, and ends with 77. `pipehost inspect` shows the declaration.
///
/// ```
/// pipehost_guest::wants! {
///     reader "orders": "one order in a line";
///     writer "sums";
///     dir "/data": "prices";
///     writable_dir "/cache";
///     env "LANG": "the language of messages";
///     child "sort";
/// }
/// # fn main() {}
/// ```
///
/// | kind | what | granted by |
/// |---|---|---|
/// | `reader`, `writer` | a pipe that [`open_reader`](crate::open_reader) or [`open_writer`](crate::open_writer) opens; both for both ways | `--fifo`, `--fd` |
/// | `dir`, `writable_dir` | a folder, by the path under which the guest sees it | `--dir` |
/// | `env` | a variable of the environment | `--env` |
/// | `child` | a name under which [`process::Command`](crate::process::Command) starts something | `--child`, `--exec` |
///
/// Behind a colon the reason may follow, for people. Write it in the crate of the program: the linker may leave out what is in a
/// library that is not used. What the guest can do without is better left out, as it does not run without what it declares (but with
/// `--grants none`).
///
/// What pipehost would not read does not compile: other kinds, names that no pipe can have, more than 64 wants, texts of more than 200
/// bytes, or all of more than 16 KiB.
///
/// ```compile_fail
/// pipehost_guest::wants! { socket "example.org:80"; }
/// # fn main() {}
/// ```
///
/// ```compile_fail
/// pipehost_guest::wants! { reader "/tmp/orders"; }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! wants {
    ($($kind:ident $name:literal $(: $why:literal)?);+ $(;)?) => {
        const _: () = {
            const WANTS: &[$crate::__wants::Want] = &[$(
                $crate::__wants::Want { kind: $crate::__want_kind!($kind), name: $name, why: concat!($($why)?) }
            ),+];
            #[used]
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "pipehost:wants"))]
            static SECTION: [u8; $crate::__wants::length(WANTS)] = $crate::__wants::section(WANTS);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __want_kind {
    (reader) => {
        $crate::__wants::Kind::Reader
    };
    (writer) => {
        $crate::__wants::Kind::Writer
    };
    (dir) => {
        $crate::__wants::Kind::Dir
    };
    (writable_dir) => {
        $crate::__wants::Kind::WritableDir
    };
    (env) => {
        $crate::__wants::Kind::Env
    };
    (child) => {
        $crate::__wants::Kind::Child
    };
    ($other:ident) => {
        compile_error!(concat!(
            "`",
            stringify!($other),
            "` cannot be wanted; there are reader, writer, dir, writable_dir, env and child"
        ))
    };
}

/// What [`wants!`] makes its section of.
#[doc(hidden)]
pub mod __wants {
    const MOST_WANTS: usize = 64;
    const MOST_TEXT: usize = 200;
    const MOST_BYTES: usize = 16 * 1024;

    #[derive(Clone, Copy, Debug)]
    pub enum Kind {
        Reader,
        Writer,
        Dir,
        WritableDir,
        Env,
        Child,
    }

    #[derive(Clone, Copy, Debug)]
    pub struct Want {
        pub kind: Kind,
        pub name: &'static str,
        pub why: &'static str,
    }

    /// Bytes that are counted, and kept where there is room.
    struct Writer<const N: usize> {
        bytes: [u8; N],
        at: usize,
    }

    impl<const N: usize> Writer<N> {
        const fn byte(&mut self, byte: u8) {
            if self.at < N {
                self.bytes[self.at] = byte;
            }
            self.at += 1;
        }

        const fn raw(&mut self, text: &str) {
            let (bytes, mut at) = (text.as_bytes(), 0);
            while at < bytes.len() {
                self.byte(bytes[at]);
                at += 1;
            }
        }

        /// Writes a text as JSON has it.
        const fn text(&mut self, text: &str) {
            const DIGITS: &[u8] = b"0123456789abcdef";
            self.byte(b'"');
            let (bytes, mut at) = (text.as_bytes(), 0);
            while at < bytes.len() {
                let byte = bytes[at];
                match byte {
                    b'"' | b'\\' => {
                        self.byte(b'\\');
                        self.byte(byte);
                    }
                    0..0x20 => {
                        self.raw("\\u00");
                        self.byte(DIGITS[(byte >> 4) as usize]);
                        self.byte(DIGITS[(byte & 15) as usize]);
                    }
                    _ => self.byte(byte),
                }
                at += 1;
            }
            self.byte(b'"');
        }

        const fn wants(&mut self, wants: &[Want]) {
            self.raw("{\"version\":1,\"wants\":[");
            let mut at = 0;
            while at < wants.len() {
                if at > 0 {
                    self.byte(b',');
                }
                self.want(&wants[at]);
                at += 1;
            }
            // The linker joins what several crates declare.
            self.raw("]}\n");
        }

        const fn want(&mut self, want: &Want) {
            self.raw(match want.kind {
                Kind::Reader => "{\"reader\":",
                Kind::Writer => "{\"writer\":",
                Kind::Dir | Kind::WritableDir => "{\"dir\":",
                Kind::Env => "{\"env\":",
                Kind::Child => "{\"child\":",
            });
            self.text(want.name);
            if let Kind::WritableDir = want.kind {
                self.raw(",\"mode\":\"rw\"");
            }
            if !want.why.is_empty() {
                self.raw(",\"why\":");
                self.text(want.why);
            }
            self.byte(b'}');
        }
    }

    /// Returns the length of the section.
    ///
    /// # Panics
    /// If pipehost would not read it: then the guest does not compile.
    pub const fn length(wants: &[Want]) -> usize {
        assert!(wants.len() <= MOST_WANTS, "a guest can want 64 things at most");
        let mut at = 0;
        while at < wants.len() {
            check(&wants[at]);
            at += 1;
        }
        let mut writer = Writer { bytes: [], at: 0 };
        writer.wants(wants);
        assert!(writer.at <= MOST_BYTES, "all that is wanted has 16 KiB at most");
        writer.at
    }

    /// Returns the section, of the length that [`length`] returns.
    pub const fn section<const N: usize>(wants: &[Want]) -> [u8; N] {
        let mut writer = Writer { bytes: [0; N], at: 0 };
        writer.wants(wants);
        writer.bytes
    }

    const fn check(want: &Want) {
        let name = want.name.as_bytes();
        assert!(name.len() <= MOST_TEXT, "a name has 200 bytes at most");
        assert!(want.why.len() <= MOST_TEXT, "a reason has 200 bytes at most");
        assert!(!name.is_empty(), "the name is missing");
        match want.kind {
            Kind::Reader | Kind::Writer | Kind::Child => assert!(
                is_name(name),
                "such a name has 1 to 64 letters, digits, `.`, `_` or `-`, and begins with a letter or digit"
            ),
            Kind::Env => {
                assert!(is_variable(name), "a variable's name has letters, digits and `_`");
            }
            Kind::Dir | Kind::WritableDir => {
                assert!(
                    is_folder(name),
                    "a folder's path has no `..`, no `::` and no control characters"
                );
            }
        }
        if let Kind::Reader | Kind::Writer = want.kind {
            assert!(!is_standard(name), "stdin, stdout and stderr are there anyway");
        }
    }

    const fn is_name(name: &[u8]) -> bool {
        let mut at = 0;
        while at < name.len() {
            let is_more = at > 0 && matches!(name[at], b'.' | b'_' | b'-');
            if !name[at].is_ascii_alphanumeric() && !is_more {
                return false;
            }
            at += 1;
        }
        name.len() <= 64
    }

    const fn is_variable(name: &[u8]) -> bool {
        let mut at = 0;
        while at < name.len() {
            if !name[at].is_ascii_alphanumeric() && name[at] != b'_' {
                return false;
            }
            at += 1;
        }
        !name[0].is_ascii_digit()
    }

    const fn is_folder(path: &[u8]) -> bool {
        let mut at = 0;
        while at < path.len() {
            let next = if at + 1 < path.len() { path[at + 1] } else { b'/' };
            let behind = if at + 2 < path.len() { path[at + 2] } else { b'/' };
            let begins = at == 0 || path[at - 1] == b'/';
            if path[at].is_ascii_control() || path[at] == b':' && next == b':' {
                return false;
            }
            if begins && path[at] == b'.' && next == b'.' && behind == b'/' && at + 1 < path.len() {
                return false;
            }
            at += 1;
        }
        true
    }

    const fn is_standard(name: &[u8]) -> bool {
        matches!(name, b"stdin" | b"stdout" | b"stderr")
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const WANTS: &[Want] = &[
            Want { kind: Kind::Reader, name: "in", why: "a \"b\" \\ \n é" },
            Want { kind: Kind::WritableDir, name: "/a,b", why: "" },
            Want { kind: Kind::Env, name: "LANG", why: "" },
        ];

        #[test]
        fn the_section_is_json() {
            const LENGTH: usize = length(WANTS);
            const SECTION: [u8; LENGTH] = section(WANTS);
            let text = std::str::from_utf8(&SECTION).unwrap();
            assert_eq!(
                text,
                "{\"version\":1,\"wants\":[{\"reader\":\"in\",\"why\":\"a \\\"b\\\" \\\\ \\u000a é\"},\
                 {\"dir\":\"/a,b\",\"mode\":\"rw\"},{\"env\":\"LANG\"}]}\n"
            );
        }

        #[test]
        fn what_pipehost_would_not_read_does_not_compile() {
            let want = |kind, name| Want { kind, name, why: "" };
            let refused = |want: Want| std::panic::catch_unwind(|| length(&[want])).is_err();
            for (kind, name) in [
                (Kind::Reader, "a.b_c-d"),
                (Kind::Dir, "/..a/.b/c."),
                (Kind::Dir, "a:b"),
                (Kind::Env, "_A1"),
                (Kind::Child, "stdin"),
            ] {
                assert!(!refused(want(kind, name)), "{name}");
            }
            for (kind, name) in [
                (Kind::Reader, ""),
                (Kind::Reader, "-a"),
                (Kind::Writer, "a/b"),
                (Kind::Writer, "stdout"),
                (Kind::Child, "a b"),
                (Kind::Env, "1A"),
                (Kind::Env, "A=B"),
                (Kind::Dir, "a::b"),
                (Kind::Dir, ".."),
                (Kind::Dir, "/a/../b"),
                (Kind::Dir, "/a/.."),
                (Kind::Dir, "/a\n"),
            ] {
                assert!(refused(want(kind, name)), "{name:?}");
            }
            let long: &'static str = "a".repeat(201).leak();
            assert!(refused(Want { kind: Kind::Env, name: "A", why: long }));
            let many = [want(Kind::Env, "A"); 65];
            assert!(std::panic::catch_unwind(|| length(&many)).is_err());
        }
    }
}
