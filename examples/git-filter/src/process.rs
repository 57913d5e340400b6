//! The conversation of `filter.<name>.process`: one process for all files of a git command.
//! gitattributes(5), "Long Running Filter Process".

use std::io::{self, Error, ErrorKind, Read, Write};

use crate::indent::{Indents, Way};
use crate::pkt_line::{self, Packet};

/// How many bytes a file may have. git sends all of it before it reads the answer, so the answer is
/// held until then.
const MOST: usize = 32 << 20;

/// Answers what git asks, until it closes `input`.
///
/// A file that is too large, and a command that was not agreed on, is answered by `status=error`: git
/// then leaves the file as it is, or fails where the filter is `required`.
///
/// # Errors
/// `InvalidData` for what does not follow the protocol, and those of both ends.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    greet(&mut input, &mut output)?;
    while let Some(request) = pkt_line::read_lines(&mut input)? {
        let way = match value(&request, "command") {
            Some("clean") => Some(Way::Clean),
            Some("smudge") => Some(Way::Smudge),
            _ => None,
        };
        let content = changed(&mut input, way)?;
        match content {
            Ok(content) => {
                pkt_line::write_lines(&mut output, &["status=success"])?;
                pkt_line::write_content(&mut output, &content)?;
                // The status has not changed.
                pkt_line::write_lines(&mut output, &[])?;
            }
            Err(why) => {
                let path = value(&request, "pathname").unwrap_or_default();
                eprintln!("git-filter: {path:?} stays as it is: {why}");
                pkt_line::write_lines(&mut output, &["status=error"])?;
            }
        }
        output.flush()?;
    }
    Ok(())
}

/// Agrees with git on a version, and on what this filter can do.
fn greet(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let welcome = pkt_line::read_lines(input)?.unwrap_or_default();
    if welcome.first().map(String::as_str) != Some("git-filter-client")
        || !welcome.iter().any(|line| line == "version=2")
    {
        return Err(unexpected("git does not offer version 2 of the filter protocol"));
    }
    pkt_line::write_lines(output, &["git-filter-server", "version=2"])?;
    output.flush()?;
    let offered = pkt_line::read_lines(input)?.unwrap_or_default();
    let ours = ["capability=clean", "capability=smudge"];
    let agreed: Vec<_> =
        ours.into_iter().filter(|it| offered.iter().any(|one| one == it)).collect();
    pkt_line::write_lines(output, &agreed)?;
    output.flush()
}

/// Reads a file's content to its end, and changes it. The inner error says why it is not changed.
fn changed(input: &mut impl Read, way: Option<Way>) -> io::Result<Result<Vec<u8>, &'static str>> {
    let (mut out, mut why) = (Vec::new(), None);
    let mut indents = way.map(Indents::new);
    loop {
        match (pkt_line::read(input)?, &mut indents) {
            (Some(Packet::Data(piece)), Some(indents)) if out.len() + piece.len() <= MOST => {
                indents.change(&piece, &mut out);
            }
            // What is not used is read all the same: git sends it before it listens.
            (Some(Packet::Data(_)), Some(_)) => {
                (indents, out) = (None, Vec::new());
                why = Some("it has more than 32 MiB");
            }
            (Some(Packet::Data(_)), None) => {}
            (Some(Packet::Flush), Some(indents)) => {
                indents.finish(&mut out);
                return Ok(Ok(out));
            }
            (Some(Packet::Flush), None) => return Ok(Err(why.unwrap_or("no such command"))),
            (None, _) => return Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn value<'a>(request: &'a [String], key: &str) -> Option<&'a str> {
    request.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = "0016git-filter-client\n000eversion=2\n00000015capability=clean\n\
                            0016capability=smudge\n0015capability=delay\n0000";
    const WELCOME: &str = "0016git-filter-server\n000eversion=2\n00000015capability=clean\n\
                           0016capability=smudge\n0000";

    fn answers(requests: &[u8]) -> String {
        let mut out = Vec::new();
        serve(&[GREETING.as_bytes(), requests].concat()[..], &mut out).unwrap();
        String::from_utf8(out).unwrap().strip_prefix(WELCOME).unwrap().to_owned()
    }

    fn request(command: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let command = format!("command={command}");
        pkt_line::write_lines(&mut bytes, &[&command, "pathname=a=b.c"]).unwrap();
        pkt_line::write_content(&mut bytes, content).unwrap();
        bytes
    }

    #[test]
    fn several_files_in_both_directions() {
        let requests =
            [request("clean", b"    a\n"), request("smudge", b"\ta"), request("clean", b"")];
        let success = "0013status=success\n0000";
        let expected =
            format!("{success}0007\ta\n00000000{success}0009    a00000000{success}00000000");
        assert_eq!(answers(&requests.concat()), expected);
    }

    #[test]
    fn what_is_not_done_is_an_error_and_the_next_file_is_served() {
        let large = vec![b'x'; MOST + 1];
        let requests = [request("clean", &large), request("delay", b"x"), request("clean", b"y")];
        let error = "0011status=error\n0000";
        let expected = format!("{error}{error}0013status=success\n00000005y00000000");
        assert_eq!(answers(&requests.concat()), expected);
    }

    #[test]
    fn what_is_no_git() {
        for start in ["", "0000", "0016git-filter-client\n000eversion=3\n0000", "hello"] {
            let error = serve(start.as_bytes(), Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{start}");
        }
        // git has been killed in the middle of a file.
        let cut = [GREETING.as_bytes(), &request("clean", b"text")[..40]].concat();
        assert_eq!(serve(&cut[..], Vec::new()).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
