//! docs/cookbook/git.md, with git.

use std::fs;
use std::time::Duration;

use crate::recipe::{Kitchen, Recipe, demand};
use crate::support::*;

const GUESTS: [&str; 2] = ["git-filter", "redact"];

#[test]
fn the_recipe_for_git() {
    let _dog = watchdog();
    demand(&[("git", "git")]);
    let recipe = Recipe::read("git");
    recipe.cook(&recipe.kitchen(&GUESTS));
}

/// Makes a repository of `files` files, with this filter.
fn repository(filter: &[(&str, &str)], files: usize) -> Kitchen {
    demand(&[("git", "git")]);
    let kitchen = Kitchen::new(&GUESTS);
    let mut script = String::from("set -e; git init --quiet .; git config user.name me\n");
    script += "git config user.email me@example.com; echo '*.c filter=f' > .gitattributes\n";
    for (key, value) in filter {
        script += &format!("git config filter.f.{key} '{value}'\n");
    }
    kitchen.sh(&script).end().expect(0);
    for n in 0..files {
        fs::write(kitchen.path(&format!("{n}.c")), text(n)).unwrap();
    }
    kitchen
}

/// Returns the file of this number, as it is in the folder.
fn text(n: usize) -> String {
    format!("{n}\n    {}\n", "x\n        y\n".repeat(n % 100))
}

const PROCESS: (&str, &str) = ("process", "pipehost run git-filter.wasm -- process");
const REQUIRED: (&str, &str) = ("required", "true");

#[test]
fn a_thousand_files_by_clean_and_smudge() {
    let _dog = watchdog_after(Duration::from_secs(1200));
    let filter = [
        ("clean", "pipehost run git-filter.wasm -- clean"),
        ("smudge", "pipehost run git-filter.wasm -- smudge"),
        REQUIRED,
    ];
    there_and_back(&repository(&filter, 1000));
}

#[test]
fn a_thousand_files_by_one_process() {
    let _dog = watchdog();
    there_and_back(&repository(&[PROCESS, REQUIRED], 1000));
}

/// Commits all files, and gets them back.
fn there_and_back(kitchen: &Kitchen) {
    let script = "set -e; git add '*.c' .gitattributes; git commit --quiet -m all; rm *.c
        git checkout --quiet .; git status --short --untracked-files=no; git show HEAD:99.c";
    let ended = kitchen.sh(script).end().expect(0);
    assert_eq!(ended.stdout, text(99).replace("    ", "\t"), "{ended:#?}");
    for n in 0..1000 {
        assert_eq!(kitchen.read(&format!("{n}.c")), text(n), "{n}.c");
    }
}

/// Files whose size is around that of a packet, of several pipes, and beyond what the filter takes.
#[test]
fn files_of_any_size_by_one_process() {
    let _dog = watchdog();
    let kitchen = repository(&[PROCESS], 0);
    let line = "    0123456789\n";
    for (name, lines) in [("a.c", 4367), ("b.c", 4368), ("c.c", 4369), ("d.c", 500_000)] {
        fs::write(kitchen.path(name), line.repeat(lines)).unwrap();
    }
    fs::write(kitchen.path("empty.c"), "").unwrap();
    fs::write(kitchen.path("huge.c"), line.repeat(3_500_000)).unwrap();
    fs::write(kitchen.path("last.c"), line).unwrap();
    let script =
        "set -e; git add '*.c' .gitattributes; git commit --quiet -m all; mkdir kept; mv *.c kept
        git checkout --quiet .; for f in *.c; do cmp $f kept/$f; done
        for f in d empty huge last; do git show HEAD:$f.c | sha256sum; done
        sed 's/^    /\\t/' kept/d.c | sha256sum; sha256sum < /dev/null
        sha256sum < kept/huge.c; printf '\\t0123456789\\n' | sha256sum";
    let ended = kitchen.sh(script).end().expect(0);
    let sums: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(sums[..4], sums[4..], "{ended:#?}");
    assert!(ended.stderr.contains("\"huge.c\" stays as it is"), "{ended:#?}");
}

/// A filter that fails makes git fail where it is required, and lets files pass where it is not.
#[test]
fn a_filter_that_traps_or_meets_a_limit() {
    let _dog = watchdog();
    for limit in ["--fuel 1000000", "--timeout 1ms", "--max-memory 1M", "--max-bytes 2000"] {
        let process = format!("pipehost run git-filter.wasm {limit} -- process");
        let clean = format!("pipehost run git-filter.wasm {limit} -- clean");
        for filter in [("process", &process), ("clean", &clean)] {
            let filter = (filter.0, &**filter.1);
            let kitchen = repository(&[filter, REQUIRED], 50);
            fs::write(kitchen.path("large.c"), "    x\n".repeat(100_000)).unwrap();
            let ended = kitchen.sh("git add '*.c'").end();
            assert_eq!(ended.code, Some(128), "{filter:?}: {ended:#?}");
            assert!(ended.stderr.contains("pipehost: "), "{filter:?}: {ended:#?}");
            // git ends in any case where a process cannot even greet it.
            if filter.0 == "process" && !limit.contains("fuel") && !limit.contains("bytes") {
                continue;
            }
            let kitchen = repository(&[filter], 50);
            let large = "    x\n".repeat(100_000);
            fs::write(kitchen.path("large.c"), &large).unwrap();
            let shown = kitchen.sh("git add '*.c' && git show :large.c").end().expect(0).stdout;
            // A filter may be done before its time is over. In any case the file is whole.
            let is_filtered = limit.contains("timeout") && shown == large.replace("    ", "\t");
            assert!(shown == large || is_filtered, "{filter:?}: {} bytes", shown.len());
        }
    }
}
