//! Cost tables by name, or from a file.

use std::path::Path;

use scxr_kernel::cost::CostTable;

use crate::failure::{Failure, Result};

/// The default: a server's core.
pub(crate) const SERVER: &str = "server";
/// The guest of `--on vm`.
pub(crate) const LAB: &str = "lab";
const LAB_TOML: &str = include_str!("../fidelity/lab.toml");

/// The table of that name, or in that file: TOML, `what = ns`; what is left out is as in `server`.
pub(crate) fn table(name: &str) -> Result<CostTable> {
    match name {
        SERVER => Ok(CostTable::default()),
        LAB => parse(LAB_TOML).map_err(Failure::input),
        file if file.ends_with(".toml") => {
            let path = Path::new(file);
            let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e))?;
            parse(&text).map_err(|e| Failure::input(format_args!("--cost {file}: {e}")))
        }
        other => {
            Err(Failure::input(format_args!("--cost {other}: write {SERVER}, {LAB}, or the name of a .toml file")))
        }
    }
}

fn parse(text: &str) -> Result<CostTable, String> {
    toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        assert_eq!(table(SERVER).unwrap(), CostTable::default());
        let lab = table(LAB).unwrap();
        assert!(lab.turn > 0 && lab.syscall > CostTable::default().syscall);
        assert_eq!(parse("tick = 7").unwrap(), CostTable { tick: 7, ..CostTable::default() });
        for (text, why) in [("tock = 7", "unknown field `tock`"), ("tick = -1", "invalid value"), ("tick", "expected")]
        {
            let e = parse(text).unwrap_err();
            assert!(e.contains(why), "{e}");
        }
        assert!(table("fast").unwrap_err().to_string().contains("write server, lab"));
    }
}
