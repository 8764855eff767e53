//! A policy that did not change is not compiled again; one that did is.

mod support;

use std::fs;
use std::path::PathBuf;

use scxr_bpfc::{Cpu, Emit, Options, Output, build};

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let items = "#[path = \"shared.rs\"] pub mod shared;";
        let body = "NR.set(shared::STEP);\nDsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);";
        fs::write(folder.path().join("p.rs"), support::policy(items, body)).expect("a file");
        fs::write(folder.path().join("shared.rs"), "pub const STEP: u64 = 1;\n").expect("a file");
        Self { folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    #[track_caller]
    fn build(&self, options: &Options, expect_compiled: bool) -> Output {
        let output = self.path("out/p.bpf.o");
        let built = build(&self.path("p.rs"), Some(&output), options).expect("compiles");
        assert_eq!(built.compiled, expect_compiled);
        assert_eq!(fs::metadata(&output).expect("an output").len(), built.size);
        built
    }
}

#[test]
fn nothing_is_compiled_twice() {
    let (project, options) = (Project::new(), Options::default());
    let first = project.build(&options, true);
    let bytes = fs::read(&first.path).expect("an object");
    let second = project.build(&options, false);
    assert_eq!(second, Output { compiled: false, ..first.clone() });
    assert_eq!(first.sources, [project.path("p.rs"), project.path("shared.rs")].map(|p| p.canonicalize().unwrap()));

    fs::write(project.path("shared.rs"), "pub const STEP: u64 = 2;\n").expect("a file");
    project.build(&options, true);
    assert_ne!(fs::read(&first.path).expect("an object"), bytes);
    project.build(&Options { cpu: Cpu::V4, ..Options::default() }, true);
    project.build(&options, true);

    fs::write(&first.path, "spoilt").expect("a file");
    project.build(&options, true);
    fs::remove_file(&first.path).expect("it was there");
    project.build(&options, true);
    fs::write(project.path("out/.scxr-build/p.bpf.o.stamp"), "no stamp").expect("a file");
    project.build(&options, true);
    project.build(&options, false);
}

#[test]
fn formats_have_outputs_of_their_own() {
    let project = Project::new();
    for (emit, file, begins) in [(Emit::LlvmIr, "p.ll", "; ModuleID"), (Emit::Assembly, "p.s", "\t")] {
        let options = Options { emit, ..Options::default() };
        let built = build(&project.path("p.rs"), Some(&project.path(file)), &options).expect("compiles");
        assert!(fs::read_to_string(&built.path).expect("text").starts_with(begins), "{file}");
        assert!(file.ends_with(emit.suffix()));
    }
}
