//! Makes a folder with files, and writes over nothing.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

/// Makes `folder` with these files, by their paths in it. If that fails, what was made is removed.
///
/// # Errors
/// Where there is anything by the name of the folder already, and those of the file system.
pub(super) fn make(folder: &Path, files: &[(String, String)]) -> Result<(), anyhow::Error> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(anyhow!(
                "{} is there already, and nothing is written over; choose another name",
                folder.display()
            ));
        }
        made => made.with_context(|| format!("{} cannot be made", folder.display()))?,
    }
    let mut made = Made { folders: vec![folder.to_owned()], files: Vec::new() };
    for (path, text) in files {
        let path = folder.join(path);
        let written = made.write(&path, text);
        if let Err(error) = written {
            made.remove();
            return Err(error).with_context(|| format!("{} cannot be written", path.display()));
        }
    }
    Ok(())
}

/// What was made, in that order.
struct Made {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Made {
    fn write(&mut self, path: &Path, text: &str) -> io::Result<()> {
        let missing = path.ancestors().skip(1).take_while(|folder| !folder.exists());
        let missing: Vec<_> = missing.map(Path::to_owned).collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(&folder)?;
            self.folders.push(folder);
        }
        let mut file = File::create_new(path)?;
        self.files.push(path.to_owned());
        file.write_all(text.as_bytes())
    }

    /// Removes what was made; a folder in which somebody else has put something stays.
    fn remove(self) {
        for file in self.files {
            let _ = fs::remove_file(file);
        }
        for folder in self.folders.into_iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<(String, String)> {
        paths.iter().map(|path| ((*path).to_owned(), format!("{path}\n"))).collect()
    }

    #[test]
    fn nothing_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new");
        make(&folder, &files(&["a", "b/c/d"])).unwrap();
        assert_eq!(fs::read_to_string(folder.join("b/c/d")).unwrap(), "b/c/d\n");
        fs::write(folder.join("a"), "mine").unwrap();
        let error = make(&folder, &files(&["a"])).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "mine");
    }

    #[test]
    fn what_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new");
        // A file cannot be a folder, too.
        let error = make(&folder, &files(&["a", "b/c", "a/b"])).unwrap_err().to_string();
        assert!(error.contains("a/b cannot be written"), "{error}");
        assert!(!folder.exists());
    }
}
