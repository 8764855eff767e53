//! Links BPF objects into one, as scx's build scripts do: `link OUT IN...`

fn main() -> Result<(), String> {
    let mut files = std::env::args_os().skip(1);
    let out = files.next().ok_or("link OUT IN...")?;
    let linked = libbpf_rs::Linker::new(&out).and_then(|mut linker| {
        files.try_for_each(|file| linker.add_file(file))?;
        linker.link()
    });
    linked.map_err(|e| format!("{}: {e}", out.display()))
}
