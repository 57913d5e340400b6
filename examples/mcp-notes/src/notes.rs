//! Files of one folder. Errors say what was tried, as a model is to make something of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::path::{Path, PathBuf};

/// How much of a note is read.
const MOST: u64 = 10 << 20;

/// How many bytes are searched between two looks at whether somebody still waits for the result.
const STRETCH: u64 = 4 << 20;

/// How many lines a search finds at most.
const LINES: usize = 100;

pub struct Notes {
    folder: PathBuf,
}

impl Notes {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns the names of all notes, sorted.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let entries =
            fs::read_dir(&self.folder).map_err(|error| told("list", &self.folder, error))?;
        let mut names: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Returns the text of a note, up to [`MOST`] bytes of it.
    pub fn read(&self, name: &Path) -> io::Result<String> {
        let read = || -> io::Result<String> {
            let mut bytes = Vec::new();
            File::open(self.folder.join(name))?.take(MOST).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().map_err(|error| told("read", name, error))
    }

    /// Returns the lines of all notes that contain `text`, each with the name of its note. Ends early
    /// where `goes_on` says so, which is asked every few megabytes.
    pub fn search(&self, text: &str, mut goes_on: impl FnMut() -> bool) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for name in self.list()? {
            let open = File::open(self.folder.join(&name));
            let mut lines =
                BufReader::new(open.map_err(|error| told("read", name.as_ref(), error))?);
            let (mut line, mut stretch) = (Vec::new(), 0);
            if !goes_on() {
                return Ok(found);
            }
            loop {
                line.clear();
                // A longer line is several.
                let n = (&mut lines).take(64 * 1024).read_until(b'\n', &mut line)?;
                if n == 0 || found.len() == LINES {
                    break;
                }
                let content = String::from_utf8_lossy(&line);
                if content.contains(text) {
                    found.push(format!("{name}: {}", content.trim_end()));
                }
                stretch += n as u64;
                if stretch >= STRETCH {
                    stretch = 0;
                    if !goes_on() {
                        return Ok(found);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Adds a line, or several, to a note.
    pub fn add(&self, name: &Path, text: &str) -> io::Result<()> {
        let open = OpenOptions::new().append(true).create(true).open(self.folder.join(name));
        open.and_then(|mut note| writeln!(note, "{text}"))
            .map_err(|error| told("write", name, error))
    }
}

fn told(what: &str, path: &Path, error: Error) -> Error {
    Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}
