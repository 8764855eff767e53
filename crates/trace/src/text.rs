//! The canonical text form of a trace. `docs/trace-format.md` describes it for readers.
//!
//! The first line is `# scxr-trace 1`. Each further line is an event: time in ns, CPU, kind, and the kind's fields as
//! `name=value`, always all of them and in the order of the schema, one space between. Events are sorted by time, then by
//! the order in which they were emitted. Numbers are decimal; dispatch queues and flags are hexadecimal; a `vtime` that
//! there is not is `-`. In names, what is not a visible ASCII character, and `%`, is written as `%XX` byte by byte. Lines that
//! begin with `#`, and empty lines, are comments after the first. So two traces are equal exactly if their texts are.

use std::fmt::{self, Write as _};

use thiserror::Error;

use crate::event::{Event, EventKind, ExitKind, SwitchOut};

/// Version of the schema, in the first line.
pub const VERSION: u32 = 1;

/// Text that is not a trace.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("trace, line {line}: {what}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// The text of a trace. The events must be in their canonical order ([`crate::Recorder::finish`]).
pub fn write(events: &[Event]) -> String {
    let mut out = String::with_capacity(64 * events.len() + 32);
    header(&mut out);
    events.iter().for_each(|e| line(&mut out, e));
    out
}

/// Writes the first line.
pub fn header(out: &mut String) {
    writeln!(out, "# scxr-trace {VERSION}").expect("a string takes everything");
}

/// Writes the line of one event.
pub fn line(out: &mut String, event: &Event) {
    writeln!(out, "{event}").expect("a string takes everything");
}

/// Reads a trace.
pub fn parse(text: &str) -> Result<Vec<Event>, ParseError> {
    let fail = |line: usize, what: String| ParseError { line, what };
    let mut lines = text.lines().enumerate().map(|(i, l)| (i + 1, l));
    let first = lines.next().map_or("", |l| l.1);
    let version = first.strip_prefix("# scxr-trace ").map(str::trim);
    match version.map(str::parse::<u32>) {
        Some(Ok(VERSION)) => {}
        Some(Ok(v)) => {
            let what = format!("the trace has version {v}; this program reads version {VERSION}");
            return Err(fail(1, what));
        }
        _ => return Err(fail(1, "not a trace: it must begin with '# scxr-trace 1'".into())),
    }
    lines
        .filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
        .map(|(n, l)| parse_line(l).map_err(|what| fail(n, what)))
        .collect()
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.t, self.cpu, self.kind.name())?;
        self.kind.fmt_fields(f)
    }
}

/// A name in its written form.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for b in self.0.bytes() {
            match b {
                b'!'..=b'~' if b != b'%' => f.write_char(b as char)?,
                _ => write!(f, "%{b:02X}")?,
            }
        }
        Ok(())
    }
}

fn unquote(text: &str) -> Result<String, String> {
    let bad = || format!("'{text}' is not a name in its written form");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        if b != b'%' {
            bytes.push(b);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(byte.ok_or_else(bad)?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

impl SwitchOut {
    const ALL: [(SwitchOut, &'static str); 4] = [
        (SwitchOut::Blocked, "blocked"),
        (SwitchOut::Preempted, "preempted"),
        (SwitchOut::Yielded, "yielded"),
        (SwitchOut::Dead, "dead"),
    ];

    /// Its name in a trace.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl ExitKind {
    const ALL: [(ExitKind, &'static str); 10] = [
        (ExitKind::None, "none"),
        (ExitKind::Done, "done"),
        (ExitKind::Unreg, "unreg"),
        (ExitKind::UnregBpf, "unreg_bpf"),
        (ExitKind::UnregKern, "unreg_kern"),
        (ExitKind::Sysrq, "sysrq"),
        (ExitKind::Parent, "parent"),
        (ExitKind::Error, "error"),
        (ExitKind::ErrorBpf, "error_bpf"),
        (ExitKind::ErrorStall, "error_stall"),
    ];

    /// The kernel's name without its prefix, in lower case.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl EventKind {
    fn fmt_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Fork { pid, parent, comm, group, weight, policy } => {
                let (comm, group) = (Quoted(comm), Quoted(group));
                write!(f, " pid={pid} parent={parent} comm={comm} group={group} weight={weight} policy={policy}")
            }
            EventKind::Weight { pid, weight, policy } => write!(f, " pid={pid} weight={weight} policy={policy}"),
            EventKind::Exec { pid, comm } => write!(f, " pid={pid} comm={}", Quoted(comm)),
            EventKind::Affinity { pid, cpus } => write!(f, " pid={pid} cpus={}", Quoted(cpus)),
            EventKind::Waking { pid, waker, sync } => {
                write!(f, " pid={pid} waker={waker} sync={}", u8::from(*sync))
            }
            EventKind::Select { pid, prev, cpu } => write!(f, " pid={pid} prev={prev} cpu={cpu}"),
            EventKind::Enqueue { pid, on, flags } => {
                write!(f, " pid={pid} on={on} flags={flags:#x}")
            }
            EventKind::Insert { pid, dsq, slice, vtime } => {
                write!(f, " pid={pid} dsq={dsq:#x} slice={slice} vtime=")?;
                match vtime {
                    Some(v) => write!(f, "{v}"),
                    None => f.write_char('-'),
                }
            }
            EventKind::Move { pid, from, to } => {
                write!(f, " pid={pid} from={from:#x} to={to:#x}")
            }
            EventKind::Dequeue { pid, flags } => write!(f, " pid={pid} flags={flags:#x}"),
            EventKind::Migrate { pid, from, to } => write!(f, " pid={pid} from={from} to={to}"),
            EventKind::SwitchIn { pid } | EventKind::Exit { pid } | EventKind::Tick { pid } => {
                write!(f, " pid={pid}")
            }
            EventKind::SwitchOut { pid, why, ran_ns } => {
                write!(f, " pid={pid} why={} ran_ns={ran_ns}", why.name())
            }
            EventKind::Kick { target, flags } => write!(f, " target={target} flags={flags:#x}"),
            EventKind::IdleIn | EventKind::IdleOut => Ok(()),
            EventKind::Enabled { name } => write!(f, " name={}", Quoted(name)),
            EventKind::Disabled { name, kind } => {
                write!(f, " name={} kind={}", Quoted(name), kind.name())
            }
            EventKind::Ext { name, delta } => write!(f, " name={} delta={delta}", Quoted(name)),
            EventKind::Work { pid, ns } => write!(f, " pid={pid} ns={ns}"),
        }
    }
}

/// The words of a line, read in order.
struct Fields<'a>(std::str::Split<'a, char>);

impl<'a> Fields<'a> {
    fn word(&mut self, what: &str) -> Result<&'a str, String> {
        self.0.next().ok_or_else(|| format!("{what} is missing"))
    }

    fn value(&mut self, name: &str) -> Result<&'a str, String> {
        let word = self.word(name)?;
        word.strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
            .ok_or_else(|| format!("expected {name}=…, found '{word}'"))
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, String> {
        let value = self.value(name)?;
        value.parse().map_err(|_| format!("{name}={value} is not a number of its range"))
    }

    fn hex(&mut self, name: &str) -> Result<u64, String> {
        let value = self.value(name)?;
        value
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| format!("{name}={value} is not a hexadecimal number"))
    }

    fn name(&mut self, name: &str) -> Result<String, String> {
        unquote(self.value(name)?)
    }

    fn one_of<T: Copy>(&mut self, name: &str, all: &[(T, &str)]) -> Result<T, String> {
        let value = self.value(name)?;
        all.iter().find(|(_, n)| *n == value).map(|(v, _)| *v).ok_or_else(|| format!("{name}={value} is not known"))
    }
}

fn parse_line(line: &str) -> Result<Event, String> {
    let mut f = Fields(line.split(' '));
    let t = f.word("the time")?;
    let t = t.parse().map_err(|_| format!("'{t}' is not a time in ns"))?;
    let cpu = f.word("the CPU")?;
    let cpu = cpu.parse().map_err(|_| format!("'{cpu}' is not a CPU"))?;
    let kind = f.word("the kind of event")?;
    let kind = parse_kind(kind, &mut f)?;
    match f.0.next() {
        Some(more) => Err(format!("'{more}' is too much")),
        None => Ok(Event { t, cpu, kind }),
    }
}

fn parse_kind(kind: &str, f: &mut Fields<'_>) -> Result<EventKind, String> {
    Ok(match kind {
        "idle_in" => EventKind::IdleIn,
        "idle_out" => EventKind::IdleOut,
        "kick" => EventKind::Kick { target: f.number("target")?, flags: f.hex("flags")? },
        "enabled" => EventKind::Enabled { name: f.name("name")? },
        "disabled" => EventKind::Disabled { name: f.name("name")?, kind: f.one_of("kind", &ExitKind::ALL)? },
        "ext" => EventKind::Ext { name: f.name("name")?, delta: f.number("delta")? },
        _ if !EventKind::NAMES.contains(&kind) => {
            return Err(format!("there is no event of the kind '{kind}'"));
        }
        _ => parse_task_event(kind, f.number("pid")?, f)?,
    })
}

/// The kinds whose first field is a pid.
fn parse_task_event(kind: &str, pid: u32, f: &mut Fields<'_>) -> Result<EventKind, String> {
    Ok(match kind {
        "fork" => EventKind::Fork {
            pid,
            parent: f.number("parent")?,
            comm: f.name("comm")?,
            group: f.name("group")?,
            weight: f.number("weight")?,
            policy: f.number("policy")?,
        },
        "weight" => EventKind::Weight { pid, weight: f.number("weight")?, policy: f.number("policy")? },
        "affinity" => EventKind::Affinity { pid, cpus: f.name("cpus")? },
        "waking" => {
            EventKind::Waking { pid, waker: f.number("waker")?, sync: f.one_of("sync", &[(false, "0"), (true, "1")])? }
        }
        "select" => EventKind::Select { pid, prev: f.number("prev")?, cpu: f.number("cpu")? },
        "enqueue" => EventKind::Enqueue { pid, on: f.number("on")?, flags: f.hex("flags")? },
        "insert" => EventKind::Insert {
            pid,
            dsq: f.hex("dsq")?,
            slice: f.number("slice")?,
            vtime: match f.value("vtime")? {
                "-" => None,
                v => Some(v.parse().map_err(|_| format!("vtime={v} is not a number"))?),
            },
        },
        "move" => EventKind::Move { pid, from: f.hex("from")?, to: f.hex("to")? },
        "dequeue" => EventKind::Dequeue { pid, flags: f.hex("flags")? },
        "migrate" => EventKind::Migrate { pid, from: f.number("from")?, to: f.number("to")? },
        "switch_in" => EventKind::SwitchIn { pid },
        "switch_out" => {
            EventKind::SwitchOut { pid, why: f.one_of("why", &SwitchOut::ALL)?, ran_ns: f.number("ran_ns")? }
        }
        "exit" => EventKind::Exit { pid },
        "tick" => EventKind::Tick { pid },
        "exec" => EventKind::Exec { pid, comm: f.name("comm")? },
        "work" => EventKind::Work { pid, ns: f.number("ns")? },
        _ => return Err(format!("there is no event of the kind '{kind}'")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines() {
        let check = |kind: EventKind, text: &str| {
            let event = Event { t: 1500, cpu: 2, kind };
            assert_eq!(event.to_string(), text);
            assert_eq!(parse_line(text), Ok(event));
        };
        check(EventKind::IdleIn, "1500 2 idle_in");
        check(
            EventKind::Fork {
                pid: 7, parent: 1, comm: "my task%é".into(), group: "/a".into(), weight: 100, policy: 0
            },
            "1500 2 fork pid=7 parent=1 comm=my%20task%25%C3%A9 group=/a weight=100 policy=0",
        );
        check(
            EventKind::Insert { pid: 7, dsq: 0x8000_0000_0000_0001, slice: 20_000_000, vtime: None },
            "1500 2 insert pid=7 dsq=0x8000000000000001 slice=20000000 vtime=-",
        );
        check(
            EventKind::SwitchOut { pid: 7, why: SwitchOut::Yielded, ran_ns: 12 },
            "1500 2 switch_out pid=7 why=yielded ran_ns=12",
        );
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line, what) in [
            ("", 1, "must begin"),
            ("# scxr-trace 2\n", 1, "version 2"),
            ("# scxr-trace 1\nx 0 idle_in", 2, "not a time"),
            ("# scxr-trace 1\n\n# note\n1 0 idle_on", 4, "no event of the kind 'idle_on'"),
            ("# scxr-trace 1\n1 0 exit", 2, "pid is missing"),
            ("# scxr-trace 1\n1 0 exit pid=-1", 2, "not a number"),
            ("# scxr-trace 1\n1 0 exit id=1", 2, "expected pid="),
            ("# scxr-trace 1\n1 0 exit pid=1 x", 2, "too much"),
            ("# scxr-trace 1\n1 0 enabled name=%G0", 2, "not a name"),
            ("# scxr-trace 1\n1 0 enabled name=%4", 2, "not a name"),
        ] {
            let e = parse(text).unwrap_err();
            assert_eq!(e.line, line, "{text}");
            assert!(e.what.contains(what), "{text}: {e}");
        }
    }

    fn kinds() -> impl Strategy<Value = EventKind> {
        let name = "\\PC{0,12}";
        let pid = any::<u32>();
        let why = (0usize..4).prop_map(|i| SwitchOut::ALL[i].0);
        let exit = (0usize..10).prop_map(|i| ExitKind::ALL[i].0);
        prop_oneof![
            (pid, any::<u32>(), name, name, any::<u32>(), any::<u32>()).prop_map(
                |(pid, parent, comm, group, weight, policy)| EventKind::Fork {
                    pid,
                    parent,
                    comm,
                    group,
                    weight,
                    policy
                }
            ),
            (pid, any::<u32>(), any::<u32>()).prop_map(|(pid, weight, policy)| EventKind::Weight {
                pid,
                weight,
                policy
            }),
            (pid, name).prop_map(|(pid, cpus)| EventKind::Affinity { pid, cpus }),
            (pid, any::<u32>(), any::<bool>()).prop_map(|(pid, waker, sync)| EventKind::Waking { pid, waker, sync }),
            (pid, any::<u32>(), any::<u32>()).prop_map(|(pid, prev, cpu)| EventKind::Select { pid, prev, cpu }),
            (pid, any::<u32>(), any::<u64>()).prop_map(|(pid, on, flags)| EventKind::Enqueue { pid, on, flags }),
            (pid, any::<u64>(), any::<u64>(), any::<Option<u64>>())
                .prop_map(|(pid, dsq, slice, vtime)| EventKind::Insert { pid, dsq, slice, vtime }),
            (pid, any::<u64>(), any::<u64>()).prop_map(|(pid, from, to)| EventKind::Move { pid, from, to }),
            (pid, any::<u64>()).prop_map(|(pid, flags)| EventKind::Dequeue { pid, flags }),
            (pid, any::<u32>(), any::<u32>()).prop_map(|(pid, from, to)| EventKind::Migrate { pid, from, to }),
            pid.prop_map(|pid| EventKind::SwitchIn { pid }),
            (pid, why, any::<u64>()).prop_map(|(pid, why, ran_ns)| EventKind::SwitchOut { pid, why, ran_ns }),
            pid.prop_map(|pid| EventKind::Exit { pid }),
            pid.prop_map(|pid| EventKind::Tick { pid }),
            (pid, name).prop_map(|(pid, comm)| EventKind::Exec { pid, comm }),
            (any::<u32>(), any::<u64>()).prop_map(|(target, flags)| EventKind::Kick { target, flags }),
            Just(EventKind::IdleIn),
            Just(EventKind::IdleOut),
            name.prop_map(|name| EventKind::Enabled { name }),
            (name, exit).prop_map(|(name, kind)| EventKind::Disabled { name, kind }),
            (name, any::<i64>()).prop_map(|(name, delta)| EventKind::Ext { name, delta }),
            (pid, any::<u64>()).prop_map(|(pid, ns)| EventKind::Work { pid, ns }),
        ]
    }

    proptest! {
        #[test]
        fn text_round_trips(list in prop::collection::vec((any::<u64>(), any::<u32>(), kinds()), 0..40)) {
            let events: Vec<Event> = list.into_iter().map(|(t, cpu, kind)| Event { t, cpu, kind }).collect();
            let text = write(&events);
            prop_assert!(text.is_ascii());
            prop_assert_eq!(parse(&text), Ok(events));
        }

        #[test]
        fn no_text_is_too_strange(text in "(# scxr-trace 1\n)?([0-9]{1,3} )?\\PC{0,40}\n?") {
            let _ = parse(&text);
        }
    }
}
