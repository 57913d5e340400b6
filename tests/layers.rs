//! Checks that no two modules depend on each other, however indirectly, and that layers depend only
//! on those below.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Module = Vec<String>;

/// The layers, from the bottom to the top. A folder stands for everything in it.
const LAYERS: &[&str] = &[
    "engine_names",
    "sys",
    "turn",
    "threads",
    "names",
    "limits",
    "pipe",
    "wasi",
    "cache",
    "interfaces",
    "engine",
    "guest",
    "needs",
    "outcome",
    "deadlines",
    "children",
    "restart",
    "swap",
    "setup",
    "spawning",
    "run",
    "launch",
    "pipeline",
    "bundled",
    "cli",
];

/// Collects all modules of the host and their code, without comments and tests.
fn modules(folder: &Path, of: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let mut module = of.clone();
        module.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        if path.is_dir() {
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            if matches!(&**module.last().unwrap(), "mod" | "lib") {
                module.pop();
            }
            // Compiled into tests alone.
            if matches!(&**module.last().unwrap_or(&String::new()), "breakout" | "tests") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.insert(module, code.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// Returns the paths that code names, from the root: `crate::a::b`, `super::b`, and each of `a::{b,
/// c}`.
fn paths(module: &Module, code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let first = code[..at].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
        let begins = code[..at - first.len()].ends_with("::");
        let base = match first {
            _ if begins => continue,
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            _ => continue,
        };
        follow(base, &code[at + 2..], &mut found);
    }
    found
}

/// Follows a path from `base` through `rest`. Returns the text after it.
fn follow<'a>(mut base: Module, mut rest: &'a str, found: &mut Vec<Module>) -> &'a str {
    loop {
        if let Some(list) = rest.strip_prefix('{') {
            rest = list;
            loop {
                rest = follow(base.clone(), rest.trim_start(), found).trim_start();
                match rest.strip_prefix(',') {
                    Some(next) => rest = next,
                    None => return rest.strip_prefix('}').unwrap_or(rest),
                }
                if let Some(next) = rest.trim_start().strip_prefix('}') {
                    return next;
                }
            }
        }
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        match &rest[..length] {
            "super" => drop(base.pop()),
            "self" | "" => {}
            name => base.push(name.to_owned()),
        }
        rest = &rest[length..];
        match rest.strip_prefix("::") {
            Some(next) => rest = next,
            None => {
                found.push(base);
                return rest;
            }
        }
    }
}

/// Returns the modules on which each module depends.
fn known() -> BTreeMap<Module, BTreeSet<Module>> {
    let mut all = BTreeMap::new();
    modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &Vec::new(), &mut all);
    assert!(all.len() > 80, "{}", all.len());
    let of = |(module, code): (&Module, &String)| {
        let mut knows = BTreeSet::new();
        for mut path in paths(module, code) {
            while !path.is_empty() && !all.contains_key(&path) {
                path.pop();
            }
            if !path.is_empty() && path != *module {
                knows.insert(path);
            }
        }
        (module.clone(), knows)
    };
    all.iter().map(of).collect()
}

#[test]
fn no_modules_form_a_circle() {
    let known = known();
    let folders: BTreeSet<Module> =
        known.keys().flat_map(|it| (0..it.len()).map(|end| it[..end].to_vec())).collect();
    for folder in folders {
        // What stands beside each other in it, and which knows which.
        let depth = folder.len();
        let within = |module: &Module| module.len() > depth && module.starts_with(&folder);
        let mut beside: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, knows) in known.iter().filter(|(module, _)| within(module)) {
            let own = beside.entry(&module[depth]).or_default();
            own.extend(knows.iter().filter(|it| within(it)).map(|it| &*it[depth]));
            own.remove(&*module[depth]);
        }
        // Take away who knows nobody, until nobody is left.
        while let Some(last) =
            beside.iter().find(|(_, knows)| knows.is_empty()).map(|(name, _)| *name)
        {
            beside.remove(last);
            for knows in beside.values_mut() {
                knows.remove(last);
            }
        }
        assert!(beside.is_empty(), "in {folder:?} these know each other: {beside:?}");
    }
}

#[test]
fn layers_know_those_below() {
    let place = |module: &Module| {
        let place = LAYERS.iter().position(|layer| *layer == module[0]);
        place.unwrap_or_else(|| panic!("{module:?} is in no layer"))
    };
    for (module, knows) in
        known().iter().filter(|(module, _)| !module.is_empty() && module[0] != "main")
    {
        for other in knows {
            assert!(place(other) <= place(module), "{module:?} knows {other:?}");
        }
    }
}

#[test]
fn paths_are_found() {
    let module = vec!["a".to_owned(), "b".to_owned()];
    let code =
        "use super::{c::{d, e}, f};\nuse crate::g::{self, h};\ncrate::i::j();\nsuper::super::k()";
    let found: Vec<String> = paths(&module, code).iter().map(|path| path.join("/")).collect();
    assert_eq!(found, ["a/c/d", "a/c/e", "a/f", "g", "g/h", "i/j", "k"]);
}
