//! Changes to a WebAssembly binary that leave its outline whole: what is only damaged is refused by the
//! first check of its header, and shows nothing of what lies behind.

/// Sections of a component that hold a binary of their own: a core module, a component.
const NESTED: [u8; 2] = [1, 4];

const HEADER: usize = 8;

/// One section: its kind and its bytes.
type Section = (u8, Vec<u8>);

/// How bytes are changed: in a buffer, of which so many are in use, up to so many.
pub(crate) type Mutate<'a> = &'a mut dyn FnMut(&mut [u8], usize, usize) -> usize;

/// `binary` with a section changed, dropped, repeated, or moved; none where it is no binary, or for a
/// quarter of all seeds, so that the rest of the bytes is tried as well.
pub(crate) fn mutated(
    binary: &[u8],
    most: usize,
    seed: u32,
    mutate: Mutate<'_>,
) -> Option<Vec<u8>> {
    if seed.is_multiple_of(4) || !binary.starts_with(b"\0asm") {
        return None;
    }
    let mutated = change(binary, most, &mut u64::from(seed), mutate)?;
    (mutated.len() <= most).then_some(mutated)
}

fn change(binary: &[u8], most: usize, random: &mut u64, mutate: Mutate<'_>) -> Option<Vec<u8>> {
    let mut sections = sections(binary)?;
    if sections.is_empty() {
        return None;
    }
    let at = below(random, sections.len());
    match below(random, 8) {
        0 => drop(sections.remove(at)),
        1 => sections.insert(below(random, sections.len()), sections[at].clone()),
        2 => {
            let other = below(random, sections.len());
            sections.swap(at, other);
        }
        _ => {
            let is_component = binary[6] == 1;
            let (kind, body) = &mut sections[at];
            let inner = (is_component && NESTED.contains(kind))
                .then(|| change(body, most, random, mutate))
                .flatten();
            *body = inner.unwrap_or_else(|| {
                let len = body.len();
                let room = (len + 64).min(most);
                let mut bytes = body.clone();
                bytes.resize(room.max(len), 0);
                let len = mutate(&mut bytes, len, room.max(len));
                bytes.truncate(len);
                bytes
            });
        }
    }
    let mut changed = binary[..HEADER].to_vec();
    for (kind, body) in sections {
        changed.push(kind);
        let mut len = body.len();
        while len >= 0x80 {
            changed.push(len as u8 | 0x80);
            len >>= 7;
        }
        changed.push(len as u8);
        changed.extend(body);
    }
    Some(changed)
}

fn sections(binary: &[u8]) -> Option<Vec<Section>> {
    let mut rest = binary.get(HEADER..)?;
    let mut sections = Vec::new();
    while let Some((kind, mut after)) = rest.split_first() {
        let mut len = 0usize;
        for shift in (0..35).step_by(7) {
            let (byte, more) = after.split_first()?;
            after = more;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (body, more) = after.split_at_checked(len)?;
        sections.push((*kind, body.to_vec()));
        rest = more;
    }
    Some(sections)
}

/// A number below `bound`, which is not 0: xorshift of Marsaglia's.
fn below(random: &mut u64, bound: usize) -> usize {
    *random ^= (*random << 13) | 1;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 16) as usize % bound
}
