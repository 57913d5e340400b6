//! The bytes that a file of grants is for, by their SHA-256.

use std::path::PathBuf;

use anyhow::anyhow;
use sha2::{Digest as _, Sha256};

use super::super::exit::{Failure, Status};
use super::super::source::Source;

/// What the guest's bytes must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Pin {
    sum: [u8; 32],
    /// Where that is written.
    file: PathBuf,
    line: usize,
}

impl Pin {
    /// Reads what is written in line `line` of `file`: 64 hexadecimal digits.
    pub(super) fn of(text: &str, file: PathBuf, line: usize) -> Option<Self> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect();
        let bytes: Vec<u8> =
            digits?.chunks(2).map(|pair| pair.iter().fold(0, |sum, it| (sum << 4) | it)).collect();
        let sum = if text.len() == 64 { bytes.try_into().ok()? } else { return None };
        Some(Self { sum, file, line })
    }

    /// Returns the digits.
    pub(super) fn text(&self) -> String {
        hex(&self.sum)
    }

    /// Checks the bytes of the guest in `source`.
    ///
    /// # Errors
    /// Fails if they are others, and says what they are.
    pub(in crate::cli) fn check(&self, source: &Source, bytes: &[u8]) -> Result<(), Failure> {
        let found: [u8; 32] = Sha256::digest(bytes).into();
        if found == self.sum {
            return Ok(());
        }
        let (guest, file, line) = (source.display(), self.file.display(), self.line);
        let (found, wanted) = (hex(&found), self.text());
        let error = anyhow!(
            "{guest}: its SHA-256 is {found}, and line {line} of {file} has {wanted}: it is another guest; \
             if you trust it, write sha256 = \"{found}\" there"
        );
        Err(Failure { status: Status::NotPermitted, error })
    }
}

/// Writes bytes as sha256sum(1) prints a sum.
pub(in crate::cli) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_known_by_its_bytes() {
        // The empty text's, by FIPS 180-4.
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let pin = |text: &str| Pin::of(text, "x.toml".into(), 3);
        let known = pin(sum).unwrap();
        assert_eq!(known.text(), sum);
        assert_eq!(pin(&sum.to_uppercase()), Some(known.clone()));
        for bad in
            ["", "e3", &sum[1..], &format!("{sum}00"), &sum.replace('e', "g"), &"é".repeat(32)]
        {
            assert_eq!(pin(bad), None, "{bad}");
        }
        let source = Source::File("a.wasm".into());
        assert!(known.check(&source, b"").is_ok());
        let failure = known.check(&source, b"x").unwrap_err();
        assert_eq!(failure.status, Status::NotPermitted);
        let line = failure.error.to_string();
        let other = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert!(line.contains(sum) && line.contains(other), "{line}");
        assert!(line.contains("line 3 of x.toml"), "{line}");
    }
}
