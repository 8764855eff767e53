//! A half, as data.

use crate::args::{Args, Opt, parse};
use crate::error::Error;
use crate::runtime::Runtime;

/// The user-space half of a scheduler.
#[derive(Clone, Copy, Debug)]
pub struct HalfDef {
    /// Name of the scheduler; that of the half's task, too.
    pub name: &'static str,
    /// What it does. It returns when it is done, or when [`Runtime::is_over`] says so; what it returns as an error is shown.
    pub main: fn(&Runtime<'_>, &Args) -> Result<(), Error>,
    /// Options of the scheduler.
    pub options: &'static [Opt],
    /// Options that are variables of the BPF half.
    pub settings: &'static [Setting],
}

/// An option that sets a variable before the object is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The option's long name.
    pub option: &'static str,
    /// The variable (`Tunable`) that gets its value.
    pub variable: &'static str,
}

/// The variable in which the BPF half finds the process of the user-space half, where it wants to know.
pub const HALF_TGID: &str = "half_tgid";

/// Variables and their values.
pub type Variables = Vec<(&'static str, u64)>;

/// Reads arguments; the options, and the variables that they set before load.
pub fn settings<S: AsRef<str>>(def: &HalfDef, args: &[S]) -> Result<(Args, Variables), Error> {
    let args = parse(def.name, def.options, args)?;
    let set = set(def.settings, &args);
    Ok((args, set))
}

/// The same for a scheduler whose user-space half is nothing but options: the variables that are set before load.
pub fn variables<S: AsRef<str>>(
    name: &str,
    options: &[Opt],
    settings: &[Setting],
    args: &[S],
) -> Result<Variables, Error> {
    Ok(set(settings, &parse(name, options, args)?))
}

fn set(settings: &[Setting], args: &Args) -> Variables {
    settings.iter().map(|s| (s.variable, args.number(s.option))).collect()
}
