//! docs/guide.md, typed word for word where a clone of this repository is in the folder.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::recipe::{Recipe, root};
use crate::support::*;

#[test]
fn the_guide_leads_from_an_empty_folder_to_a_shipped_plugin() {
    // It builds the SDK for three profiles.
    let _dog = watchdog_after(Duration::from_secs(2400));
    let guide = Recipe::read("../guide");
    let folder = guide.kitchen(&[]).with_cargo();
    symlink(root(), folder.path("pipehost")).unwrap();
    guide.cook(&folder);
}
