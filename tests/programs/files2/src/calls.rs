// All calls on files, with every kind of argument, as they are in both versions of `wasi:filesystem`. Included
// where `$wait` is `.await`, or nothing, and `text` gives what paths are there.

macro_rules! calls {
    ($descriptor:ident, $($wait:tt)*) => {
        /// Makes each call, and prints what comes of it, a line each.
        async fn calls() {
            let folders = get_directories();
            let long = "n".repeat(300);
            let paths = [
                "file", "folder", "link", "out", "loop", "none", "folder/", "file/", "", ".", "..",
                "/etc/passwd", "../outside", "fifo", "folder/inside", "none/inside", &*long,
            ];
            for (root, at) in &folders {
                for path in paths {
                    for follow in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
                        let path = || text(path);
                        let say = |call: &str, came: String| {
                            println!("{at} {call} {:.20} {follow:?}: {came}", path());
                        };
                        let stat = root.stat_at(follow, path())$($wait)*;
                        say("stat", format!("{:?}", stat.map(|it| it.type_)));
                        let hash = root.metadata_hash_at(follow, path())$($wait)*;
                        say("hash", format!("{:?}", hash.map(|_| ())));
                        let (now, same) = (NewTimestamp::Now, NewTimestamp::NoChange);
                        let times = root.set_times_at(follow, path(), now, same)$($wait)*;
                        say("times", format!("{times:?}"));
                        for how in [
                            OpenFlags::empty(),
                            OpenFlags::DIRECTORY,
                            OpenFlags::TRUNCATE,
                            OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
                        ] {
                            for rights in [
                                DescriptorFlags::READ,
                                DescriptorFlags::WRITE,
                                DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
                            ] {
                                let opened = root.open_at(follow, path(), how, rights)$($wait)*;
                                let call = format!("open {how:?} {rights:?}");
                                let opened = match opened {
                                    Ok(opened) => opened,
                                    Err(code) => {
                                        say(&call, format!("{code:?}"));
                                        continue;
                                    }
                                };
                                say(&call, format!(
                                    "{:?} {:?} {:?} {:?} {:?} {:?}",
                                    opened.get_type()$($wait)*,
                                    opened.get_flags()$($wait)*,
                                    opened.set_size(7)$($wait)*,
                                    opened.sync()$($wait)*,
                                    opened.sync_data()$($wait)*,
                                    opened.advise(0, 1, Advice::WillNeed)$($wait)*,
                                ));
                                let times = opened.set_times(NewTimestamp::Now, NewTimestamp::Now)$($wait)*;
                                say("times of it", format!("{times:?}"));
                            }
                        }
                    }
                    let link = root.readlink_at(text(path))$($wait)*;
                    println!("{at} readlink {path:.20}: {link:?}");
                }
            }
            // What changes names: each with each, in and between the folders.
            for (from, from_at) in &folders {
                for (to, to_at) in &folders {
                    for old in paths {
                        for new in ["file", "folder", "link", "fifo", "../outside", "/new", "new", ""] {
                            let say = |call: &str, came: Result<(), ErrorCode>| {
                                println!("{from_at} {to_at} {call} {old:.20} {new}: {came:?}");
                            };
                            for follow in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
                                let (old, new) = (text(old), text(new));
                                say("link", from.link_at(follow, old, to, new)$($wait)*);
                                let _ = to.unlink_file_at(text("new"))$($wait)*;
                            }
                            say("rename", from.rename_at(text(old), to, text(new))$($wait)*);
                            // And back again.
                            if new == "new" {
                                let _ = to.rename_at(text("new"), from, text(old))$($wait)*;
                            }
                        }
                    }
                }
            }
            for (root, at) in &folders {
                for path in paths {
                    let say = |call: &str, came: Result<(), ErrorCode>| {
                        println!("{at} {call} {path:.20}: {came:?}");
                    };
                    say("mkdir", root.create_directory_at(text(path))$($wait)*);
                    say("rmdir", root.remove_directory_at(text(path))$($wait)*);
                    say("unlink", root.unlink_file_at(text(path))$($wait)*);
                    for target in ["file", "/etc/passwd", "../outside", ""] {
                        say("symlink", root.symlink_at(text(target), text(path))$($wait)*);
                        let _ = root.unlink_file_at(text(path))$($wait)*;
                    }
                }
            }
        }

        /// Opens `path` below the first granted folder so many times, and drops none; waits for the end of stdin.
        async fn opens(path: &str, count: &str) {
            let (root, _) = &get_directories()[0];
            let mut held: Vec<$descriptor> = Vec::new();
            let mut code = None;
            for _ in 0..count.parse::<u32>().expect("a number") {
                let (how, rights) = (OpenFlags::empty(), DescriptorFlags::READ);
                match root.open_at(PathFlags::SYMLINK_FOLLOW, text(path), how, rights)$($wait)* {
                    Ok(file) => held.push(file),
                    Err(refused) => {
                        code = Some(refused);
                        break;
                    }
                }
            }
            println!("{} {code:?}", held.len());
            let _ = std::io::stdin().read_line(&mut String::new());
            // What is dropped may be opened again.
            held.pop();
            let (how, rights) = (OpenFlags::empty(), DescriptorFlags::READ);
            let again = root.open_at(PathFlags::SYMLINK_FOLLOW, text(path), how, rights)$($wait)*;
            println!("{:?}", again.map(|_| ()));
        }
    };
}
