//! Parameters of presets on the command line: `NAME:key=value,key=value`.

use scxr_kernel::ids::Ns;

use crate::error::WorkloadError;
use crate::suggest::hint;

/// A parameter of a preset, as `--help` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Key.
    pub key: &'static str,
    /// Value if it is not given, as it would be written; several numbers that depend on the machine are described in words
    /// between angle brackets.
    pub default: &'static str,
    /// What it is, with its unit.
    pub help: &'static str,
}

/// Reads a length of time: `10ms`, `500us`, `2s`, `300ns`, `1m`, `1h`, `0`; a fraction is allowed (`1.5ms`).
pub fn parse_duration(text: &str) -> Result<Ns, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" if number == "0" => 1,
        "" if !number.is_empty() => {
            return Err(format!("'{text}' has no unit; write {text}ms, or another of ns, us, s, m, h"));
        }
        _ => return Err(format!("'{text}' is not a length of time such as 10ms")),
    };
    let bad = || format!("'{text}' is not a length of time such as 10ms");
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let long = || format!("'{text}' is too long a time");
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let mut ns = whole.checked_mul(scale).ok_or_else(long)?;
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        let digit = digit.to_digit(10).ok_or_else(bad)?;
        ns = ns.checked_add(place * u64::from(digit)).ok_or_else(long)?;
    }
    // A hundred years: sums of a few such times stay far below 2^64.
    if ns > 100 * 366 * 86_400 * 1_000_000_000 {
        return Err(long());
    }
    Ok(ns)
}

/// Values given for a preset, checked against the parameters that it has.
#[derive(Debug)]
pub(crate) struct Params<'a> {
    preset: &'a str,
    given: Vec<(&'a str, &'a str)>,
}

impl<'a> Params<'a> {
    /// Splits `key=value,key=value`.
    pub(crate) fn parse(preset: &'a str, text: &'a str, known: &[Param]) -> Result<Params<'a>, WorkloadError> {
        let mut given: Vec<(&str, &str)> = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim(), value.trim());
            if !known.iter().any(|p| p.key == key) {
                return Err(WorkloadError::Param {
                    preset: preset.into(),
                    key: key.into(),
                    hint: hint(key, known.iter().map(|p| p.key)),
                    known: describe(known),
                });
            }
            let fail = |why: &str| WorkloadError::Value {
                preset: preset.into(),
                key: key.into(),
                value: value.into(),
                why: why.into(),
            };
            if value.is_empty() {
                return Err(fail("a value is missing; write key=value"));
            }
            if given.iter().any(|&(k, _)| k == key) {
                return Err(fail("the parameter is given twice"));
            }
            given.push((key, value));
        }
        Ok(Params { preset, given })
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.given.iter().find(|g| g.0 == key).map(|g| g.1)
    }

    fn read<T>(&self, key: &str, default: T, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, WorkloadError> {
        let Some(value) = self.text(key) else {
            return Ok(default);
        };
        read(value).map_err(|why| WorkloadError::Value {
            preset: self.preset.into(),
            key: key.into(),
            value: value.into(),
            why,
        })
    }

    /// A number from `low` to `high`.
    pub(crate) fn number(&self, key: &str, default: u64, low: u64, high: u64) -> Result<u64, WorkloadError> {
        self.read(key, default, |v| match v.parse::<u64>() {
            Ok(n) if (low..=high).contains(&n) => Ok(n),
            _ => Err(format!("expected a whole number from {low} to {high}")),
        })
    }

    /// A length of time.
    pub(crate) fn duration(&self, key: &str, default: Ns) -> Result<Ns, WorkloadError> {
        self.read(key, default, parse_duration)
    }

    /// Nice values, separated by `/`.
    pub(crate) fn nices(&self, key: &str, default: &[i8]) -> Result<Vec<i8>, WorkloadError> {
        let nice = |s: &str| match s.trim().parse::<i8>() {
            Ok(n) if (-20..=19).contains(&n) => Ok(n),
            _ => Err(format!("'{s}' is not a nice value (-20 to 19); write several as -5/0/5")),
        };
        self.read(key, default.to_vec(), |v| v.split('/').map(nice).collect())
    }

    /// CPUs, as `0-3` or with `/` between: `0/2/4`. `None`: not given.
    pub(crate) fn cpus(
        &self,
        key: &str,
        nr_cpus: usize,
    ) -> Result<Option<scxr_kernel::cpumask::CpuMask>, WorkloadError> {
        self.read(key, None, |v| {
            let mask = scxr_kernel::cpumask::CpuMask::parse(&v.replace('/', ","))?;
            let all = scxr_kernel::cpumask::CpuMask::first_n(nr_cpus);
            match mask.subset_of(&all) {
                true => Ok(Some(mask)),
                false => Err(format!("the machine has CPUs 0 to {} only", nr_cpus - 1)),
            }
        })
    }
}

/// `n=<default> (help), …`, for messages.
pub(crate) fn describe(params: &[Param]) -> String {
    let one = |p: &Param| format!("{}={} ({})", p.key, p.default, p.help);
    match params {
        [] => "none".into(),
        _ => params.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ns) in [
            ("0", 0),
            ("300ns", 300),
            ("500us", 500_000),
            ("10ms", 10_000_000),
            ("1.5ms", 1_500_000),
            ("2s", 2_000_000_000),
            ("1m", 60_000_000_000),
            ("1h", 3_600_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(ns), "{text}");
        }
        for (text, why) in [
            ("10", "no unit"),
            ("", "not a length"),
            ("ms", "not a length"),
            ("1d", "not a length"),
            ("-1ms", "not a length"),
            ("1.2.3ms", "not a length"),
            ("99999999999999999999s", "not a length"),
            ("9999999999m", "too long"),
        ] {
            let e = parse_duration(text).unwrap_err();
            assert!(e.contains(why), "{text}: {e}");
        }
    }
}
