//! What goes through a program. It begins anew after a period, so that what comes out can be compared
//! with what went in, from any place on.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::flow::BLOCK;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Bytes of all values; a line ends now and then.
    Pattern,
    /// Lines of letters, of so many bytes each, line feeds included.
    Lines(usize),
    /// Lines of JSON, of so many bytes each.
    Json(usize),
    /// No line ends. That bytes are missing shows only in their number.
    Zeros,
}

/// About how many bytes a period has. A prime, so that no whole block of bytes can be lost or come twice
/// unnoticed.
const PERIOD: usize = 65_521;

/// About how many bytes the file has: so many that one call of splice(2) seldom meets its end.
const FILE: usize = 64 * PERIOD;

/// A source's bytes, made once.
pub(crate) struct Material {
    /// So many bytes belong together: a producer ends after them, or after a multiple of them.
    pub unit: usize,
    pub period: usize,
    /// The period, and then again, long enough for a block from anywhere within the first one.
    pub bytes: Vec<u8>,
    /// The period, some number of times.
    pub file: File,
    pub file_length: u64,
}

impl Source {
    pub(crate) fn material(self) -> &'static Material {
        static MADE: Mutex<Vec<(Source, &Material)>> = Mutex::new(Vec::new());
        let mut made = MADE.lock().unwrap();
        if let Some((_, material)) = made.iter().find(|(source, _)| *source == self) {
            return material;
        }
        let material = Box::leak(Box::new(Material::new(self.unit(), self.period())));
        made.push((self, material));
        material
    }

    /// `println!` ends the last line, even if it had no end.
    fn unit(self) -> usize {
        match self {
            Self::Lines(bytes) | Self::Json(bytes) => bytes,
            Self::Pattern | Self::Zeros => 1,
        }
    }

    fn period(self) -> Vec<u8> {
        let mut next = random();
        match self {
            Self::Pattern => (0..PERIOD).map(|_| next() as u8).collect(),
            Self::Zeros => vec![0; PERIOD],
            // The number of lines is the prime here.
            Self::Lines(bytes) => (0..bytes * prime(PERIOD.div_ceil(bytes)))
                .map(|at| match (at + 1) % bytes {
                    0 => b'\n',
                    _ => b'a' + (next() % 26) as u8,
                })
                .collect(),
            Self::Json(bytes) => {
                const AROUND: (&str, &str) = ("{\"id\": 12345, \"text\": \"", "\"}\n");
                let length = bytes - AROUND.0.len() - AROUND.1.len();
                let mut line = || -> String {
                    let text = (0..length).map(|_| char::from(b'a' + (next() % 26) as u8));
                    [AROUND.0, &text.collect::<String>(), AROUND.1].concat()
                };
                let lines = prime(PERIOD.div_ceil(bytes));
                (0..lines).map(|_| line()).collect::<String>().into_bytes()
            }
        }
    }
}

impl Material {
    fn new(unit: usize, period: Vec<u8>) -> Self {
        let mut file = File::from(memfd_create("source", MemfdFlags::CLOEXEC).unwrap());
        let periods = FILE.div_ceil(period.len());
        for _ in 0..periods {
            file.write_all(&period).unwrap();
        }
        let file_length = (periods * period.len()) as u64;
        let bytes = period.iter().copied().cycle().take(period.len() + BLOCK).collect();
        Self { unit, period: period.len(), bytes, file, file_length }
    }
}

/// Numbers that look random, the same each time.
pub(crate) fn random() -> impl FnMut() -> u32 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    }
}

/// The least prime from `least` on.
fn prime(least: usize) -> usize {
    let splits = |n: usize| (2..).take_while(move |by| by * by <= n).any(|by| n.is_multiple_of(by));
    (least.max(2)..).find(|n| !splits(*n)).unwrap()
}
