//! `pipehost man`: writes the manual pages.

use std::path::Path;

use anyhow::Context;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::args::{Cli, ManArgs};
use super::exit::{Failure, OrStatus, Status};

pub(crate) fn main(args: &ManArgs) -> Result<Status, Failure> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| write_all(folder))
        .with_context(|| format!("the manual pages in {}", folder.display()))
        .or_status(Status::Io)?;
    Ok(Status::Exited(0))
}

/// Writes `pipehost.1`, and `pipehost-COMMAND.1` for each command.
fn write_all(folder: &Path) -> std::io::Result<()> {
    let mut program = Cli::command();
    program.build();
    write(folder, "pipehost", program.clone())?;
    for command in program.get_subcommands().filter(|it| !it.is_hide_set()) {
        let name = format!("pipehost-{}", command.get_name());
        // The title of a page is one word; how it is typed stands in its synopsis.
        let page = command.clone().bin_name(format!("pipehost {}", command.get_name()));
        write(folder, &name, page)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, command: Command) -> std::io::Result<()> {
    let command = command.display_name(name.to_owned());
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command).title(name.to_uppercase()).manual("pipehost");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if name == "pipehost" {
        man.render_subcommands_section(&mut page)?;
    }
    sections(&after).to_writer(&mut page)?;
    std::fs::write(folder.join(format!("{name}.1")), page)
}

/// Turns the paragraphs that stand below the options of `--help` into sections, with their lines as they are:
/// examples and tables must not be filled. A paragraph begins with its heading and a colon.
fn sections(text: &str) -> Roff {
    let mut page = Roff::new();
    for paragraph in text.split("\n\n") {
        let Some((heading, lines)) = paragraph.split_once(':') else { continue };
        page.control("SH", [heading.trim().to_uppercase().as_str()]).control("nf", []);
        for line in lines.trim_matches('\n').lines() {
            page.text([roman(line.strip_prefix("  ").unwrap_or(line.trim_start()))]);
        }
        page.control("fi", []);
    }
    page
}
