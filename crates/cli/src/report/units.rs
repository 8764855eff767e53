//! Numbers for people.

/// A time with three digits and its unit.
pub(crate) fn time(ns: f64) -> String {
    let (scale, unit) = match ns.abs() {
        x if x >= 999_500_000.0 => (1e9, "s"),
        x if x >= 999_500.0 => (1e6, "ms"),
        x if x >= 999.5 => (1e3, "us"),
        _ => return format!("{ns:.0} ns"),
    };
    format!("{} {unit}", digits(ns / scale))
}

/// Three digits.
pub(super) fn digits(x: f64) -> String {
    match x.abs() {
        a if a >= 99.95 => format!("{x:.0}"),
        a if a >= 9.995 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// A number with its thousands apart.
pub(crate) fn count(n: u64) -> String {
    let text = n.to_string();
    let first = text.len() % 3;
    let (head, tail) = text.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|c| String::from_utf8_lossy(c).into_owned());
    let head = (!head.is_empty()).then(|| head.to_string());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// A number of any size: whole ones in full up to a million, large ones shortened.
pub(super) fn number(x: f64) -> String {
    match x.abs() {
        a if a >= 1e9 => format!("{} G", digits(x / 1e9)),
        a if a >= 1e6 => format!("{} M", digits(x / 1e6)),
        a if a >= 1000.0 => count(x.round() as u64),
        a if a.fract() == 0.0 => format!("{x:.0}"),
        a if a < 1.0 => format!("{x:.4}"),
        _ => digits(x),
    }
}

/// Per cent.
pub(crate) fn percent(x: f64) -> String {
    format!("{:.1} %", 100.0 * x)
}

/// A value in the unit of its metric.
pub(super) fn value(x: f64, unit: &str) -> String {
    match unit {
        "ns" => time(x),
        "" => number(x),
        unit => format!("{} {unit}", number(x)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_these() {
        for (ns, text) in [
            (0.0, "0 ns"),
            (999.0, "999 ns"),
            (1234.0, "1.23 us"),
            (999_600.0, "1.00 ms"),
            (12_345_678.0, "12.3 ms"),
            (2e9, "2.00 s"),
        ] {
            assert_eq!(time(ns), text);
        }
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        for (x, text) in
            [(0.0, "0"), (0.98765, "0.9877"), (1.0, "1"), (12.34, "12.3"), (45678.0, "45,678"), (4.5e6, "4.50 M")]
        {
            assert_eq!(number(x), text);
        }
        assert_eq!((percent(0.1234), value(5.0, "1/s")), ("12.3 %".into(), "5 1/s".into()));
    }
}
