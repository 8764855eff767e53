//! docs/tutorial.md works: its files are written and its commands run, in its order.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::root;

/// The blocks of the page: what is said of each, and its text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let parts = page.split("\n```").skip(1).step_by(2);
    parts.filter_map(|part| part.split_once('\n')).collect()
}

/// Runs a line as the reader's shell would, with `scxr` on its path. The crates that a project needs are here already.
fn run(line: &str, dir: &Path) -> (bool, String) {
    let scxr = Path::new(env!("CARGO_BIN_EXE_scxr")).parent().expect("a folder");
    let path = format!("{}:{}", scxr.display(), std::env::var("PATH").unwrap_or_default());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new/target");
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(dir).env("PATH", path).env("CARGO_TARGET_DIR", target);
    let output = command.env("CARGO_NET_OFFLINE", "true").output().expect("a shell");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_tutorial_works() {
    let page = std::fs::read_to_string(root().join("docs/tutorial.md")).expect("the page");
    let top = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial");
    if top.exists() {
        std::fs::remove_dir_all(&top).expect("a folder of ours");
    }
    std::fs::create_dir_all(&top).expect("a folder");
    let (mut dir, mut nr_lines, mut said): (PathBuf, u32, String) = (top, 0, String::new());
    for (what, text) in blocks(&page) {
        let (kind, of) = what.split_once(' ').unwrap_or((what, ""));
        match kind {
            "rust" => std::fs::write(dir.join(of), text).expect("a file"),
            "sh" => {
                for line in text.lines() {
                    if let Some(to) = line.strip_prefix("cd ") {
                        dir = dir.join(to);
                        continue;
                    }
                    let (worked, output) = run(line, &dir);
                    assert_eq!(worked, of != "fails", "{line}:\n{output}");
                    said = output;
                    nr_lines += 1;
                    if of == "fails" {
                        assert!(said.contains("the heavier tasks got 50 %"), "{said}");
                    }
                }
            }
            other => panic!("a block of {other} on the page"),
        }
    }
    assert!(nr_lines >= 12, "{nr_lines} commands");
    assert!(said.contains("fairly.bpf.o"), "{said}");
}
