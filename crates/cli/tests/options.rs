//! What a scheduler's options do not take, wherever it is to run: each is named, with what is wrong, and nothing has begun (exit code 2).

mod support;

use support::scxr;

const SCHEDULERS: [&str; 7] = ["simple", "qmap", "central", "pair", "flatcg", "toy", "userland"];
const PLACES: [&[&str]; 4] = [&[], &["--native"], &["--on", "vm", "--kernel", "7.2"], &["--on", "host"]];

/// Options of a scheduler, as its help names them: the long name, and what it takes.
fn options(sched: &str) -> Vec<(String, Option<String>)> {
    let help = scxr(&["run", sched, "--", "--help"]).stdout;
    let of_line = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|w| !w.starts_with("--"));
        let name = words.next()?.trim_end_matches(',').to_owned();
        let takes = words.next().filter(|w| w.starts_with('<')).map(str::to_owned);
        (name != "--help").then_some((name, takes))
    };
    let lines = help.lines().filter(|line| line.trim_start().starts_with('-'));
    lines.filter_map(of_line).collect()
}

/// What it does not take, and what is said of it.
fn bad(name: &str, takes: Option<&str>) -> Vec<(Vec<String>, &'static str)> {
    let with = |value: &str| vec![format!("{name}={value}")];
    match takes {
        None => vec![(with("1"), "unexpected value '1'")],
        Some("<TIME>") => {
            let (unit, limits) = ("a time has a unit, such as 500us or 20ms", "from ");
            let values = [("5", unit), ("-5ms", unit), ("1h", unit), ("", unit), ("1.5ms", unit)];
            let far = [("0ms", limits), ("3600s", limits), ("99999999999999999999s", unit)];
            let all = values.into_iter().chain(far).map(|(value, why)| (with(value), why));
            all.chain([(vec![name.to_owned()], "value is required")]).collect()
        }
        Some(_) => {
            let (whole, limits) = ("it takes a whole number", "from 0 to ");
            let values = [("x", whole), ("-1", whole), ("1.5", whole), ("", whole)];
            let far =
                [("18446744073709551616", whole), ("4294967296", if name == "--batch" { "from 1 to" } else { limits })];
            let all = values.into_iter().chain(far).map(|(value, why)| (with(value), why));
            all.chain([(vec![name.to_owned()], "value is required")]).collect()
        }
    }
}

fn check(sched: &str, place: &[&str], words: &[String], says: &[&str]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran = scxr(&[&["run", sched, "-q"], place, &["--"], &words[..]].concat());
    assert_eq!(ran.code, 2, "{sched} {place:?} {words:?}: {}{}", ran.stderr, ran.stdout);
    assert!(ran.stdout.is_empty(), "{sched} {place:?} {words:?}: {}", ran.stdout);
    assert!(says.iter().all(|part| ran.stderr.contains(part)), "{sched} {place:?} {words:?}: {}", ran.stderr);
}

#[test]
fn each_is_told_what_is_wrong() {
    let mut nr = 0;
    for sched in SCHEDULERS {
        let known = options(sched);
        assert!(!known.is_empty(), "{sched}");
        nr += known.len();
        for place in PLACES {
            check(sched, place, &["--no-such".to_owned()], &["unexpected argument '--no-such'"]);
            check(sched, place, &["5".to_owned()], &["unexpected argument '5'"]);
            for (name, takes) in &known {
                for (words, why) in bad(name, takes.as_deref()) {
                    check(sched, place, &words, &[name, why]);
                }
            }
        }
    }
    assert!(nr >= 20, "{nr} options");
}

#[test]
fn numbers_of_cpus_are_those_of_the_machine() {
    for (sched, option) in [("central", "--cpu"), ("pair", "--stride")] {
        for (machine, place) in
            [("8", PLACES[0]), ("8", PLACES[1]), ("8", PLACES[2]), ("1", PLACES[0]), ("1", PLACES[2])]
        {
            let place = [place, &["--machine", machine]].concat();
            let says =
                [option, "the machine has ", &format!("it is from 0 to {}", machine.parse::<u32>().unwrap() - 1)];
            for value in [machine, "1024", "2147483647"] {
                check(sched, &place, &[option.to_owned(), value.to_owned()], &says);
            }
        }
        check(sched, PLACES[3], &[option.to_owned(), "2147483647".to_owned()], &[option, "the machine has "]);
    }
}
