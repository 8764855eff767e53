//! What the verifier's log of a refused program says: the reason, the line, what was known there, and what to do.

use std::collections::BTreeMap;

use crate::LoadError;

/// Values that are told at most.
const KNOWN_MAX: usize = 6;
/// Lines of the log that are told.
const LOG_LINES: usize = 12;

/// Words of the verifier's, and what to do about them; the first that fits.
const HINTS: &[(&[&str], &str)] = &[
    (
        &["on pointer prohibited"],
        "an array of at most 8 bytes on the stack is indexed by a variable, which LLVM does with `|`: make the array larger (Rust: `[0u8; 16]`), or keep it in a map",
    ),
    (
        &["_or_null'", "_or_null expected", "possibly NULL pointer"],
        "a look-up may have found nothing: test the result before it is used (Rust: `if let Some(x)`; C: `if (!x) return`)",
    ),
    (
        &["infinite loop detected", "too large. Processed", "sequence of", "loop is not bounded", "back-edge"],
        "the verifier sees no end of a loop: give it a bound that is a constant, or walk it by an iterator (Rust: `bounded!(0..n)`; C: `bpf_for`)",
    ),
    (
        &[
            "unbounded memory access",
            "unbounded min value",
            "unbounded variable-offset",
            "outside of the allowed memory range",
            "invalid access to map value",
            "invalid access to memory",
            "min value is negative",
            "invalid unbounded",
        ],
        "nothing says that the index or length is in range: compare or mask it right before its use (Rust: `get(i)`, `i & 15`; C: `if (i >= N) return`)",
    ),
    (
        &["Unreleased reference", "reference leak", "reference has not been"],
        "what was acquired is not given back on every path (Rust: do not `forget` an owned value; C: call the function that releases it)",
    ),
    (
        &["function calls are not allowed while holding a lock", "lock-ed region"],
        "between taking a spin lock and releasing it no function may be called, and every path has to release it: compute first, then lock",
    ),
    (
        &[
            "combined stack size",
            "stack depth",
            "invalid write to stack",
            "invalid read from stack",
            "stack limit",
            "the call stack of",
        ],
        "the stack has 512 bytes for all functions that call each other: keep large values in a map or a global",
    ),
    (
        &["must be sleepable", "in non-sleepable", "might sleep", "sleepable program"],
        "this function may sleep, and this operation may not: call it in one that may (init, init_task, cgroup operations, timers excepted)",
    ),
    (
        &[
            "calling kernel function",
            "kfunc is not allowed",
            "helper access",
            "cannot use helper",
            "unknown func",
            "program of this type",
        ],
        "the kernel does not allow this function in this operation, or does not have it: the policy crate's contexts say where which may be called",
    ),
    (
        &[
            "invalid mem access 'scalar'",
            "invalid mem access 'inv'",
            "must point to scalar",
            "expected pointer to",
            "must be referenced",
            "must be trusted",
            "must be a rcu pointer",
            "is not a trusted",
            "type=scalar expected",
            "type=untrusted",
        ],
        "to the verifier this is a number, or a pointer that may be stale: use what the kernel gave in this operation, or look it up again by its id",
    ),
    (
        &["cannot write into", "write into map forbidden", "only read is supported", "cannot access ptr member"],
        "this is the kernel's, or a constant, and not to be written: there is a function for what may be changed",
    ),
    (
        &["!read_ok", "invalid indirect read"],
        "a value is used that was never set on some path: set it where it is declared",
    ),
    (
        &["At program exit the register R0", "R0 leaks"],
        "the value that is returned is not one that this operation may return",
    ),
    (
        &["expected an initialized iter", "expected uninitialized iter", "iterator"],
        "an iterator has to stay where it is between its start and its end",
    ),
    (
        &["Unknown type", "invalid bpf_context access"],
        "the running kernel has another layout here: the argument is not there on it",
    ),
];

/// The telling parts of a log.
pub(crate) fn of_log(program: &str, log: &str) -> LoadError {
    let lines: Vec<&str> = log.lines().filter(|l| !is_statistics(l)).collect();
    let words: Vec<(usize, &str)> = lines.iter().copied().enumerate().filter(|(_, l)| is_word(l)).collect();
    // of two words in a row the first is the particular one
    let told = match words[..] {
        [.., (_, first), (at, "BPF_EXIT instruction in main prog would lead to reference leak")] => Some((at, first)),
        [.., last] => Some(last),
        [] => None,
    };
    let (at, reason) = told.unwrap_or((lines.len(), "no reason is in its log"));
    // a reference that is lost: what tells is where it was taken, not the end of the program
    let taken = number_after(reason, "alloc_insn=").and_then(|insn| {
        let index = lines.iter().position(|l| l.starts_with(&format!("{insn}: (")))?;
        source_before(&lines[..index])
    });
    let line = taken.or_else(|| source_before(&lines[..at.min(lines.len())]));
    let known = known(&lines[..at.min(lines.len())], reason);
    let hint =
        HINTS.iter().find(|(words, _)| words.iter().any(|w| reason.contains(w))).map(|(_, hint)| Box::from(*hint));
    LoadError::Verifier {
        program: program.to_owned(),
        reason: reason.to_owned(),
        line: line.map(String::into_boxed_str),
        known,
        hint,
        log: lines[lines.len().saturating_sub(LOG_LINES)..].join("\n").into(),
    }
}

/// The last source line, as `FILE:LINE (`CODE`)`.
fn source_before(lines: &[&str]) -> Option<String> {
    lines.iter().rev().find_map(|l| {
        let (code, place) = l.strip_prefix("; ")?.rsplit_once(" @ ")?;
        Some(format!("{place} (`{}`)", code.trim()))
    })
}

fn number_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = text.split_once(key)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

fn is_statistics(line: &str) -> bool {
    let heads =
        ["processed ", "verification time", "stack depth ", "mark_precise", "insns ", "cur state:", "old state:"];
    heads.iter().any(|s| line.starts_with(s)) || line.trim().is_empty()
}

/// Is it neither source, nor an instruction, nor a state?
fn is_word(line: &str) -> bool {
    let is_step = line.split_once(':').is_some_and(|(at, _)| !at.is_empty() && at.bytes().all(|b| b.is_ascii_digit()));
    !is_step
        && !["; ", "from ", "func '", "arg#", "Live regs", "Global function", "Func#"]
            .iter()
            .any(|s| line.starts_with(s))
}

/// What was known of the registers that the reason names and that the last instruction uses.
fn known(lines: &[&str], reason: &str) -> Vec<String> {
    let mut values = BTreeMap::new();
    lines.iter().for_each(|line| read_values(line, &mut values));
    let last = lines.iter().rev().find(|l| !l.starts_with("; ") && !is_word(l));
    let code = last.map_or("", |l| l.split(';').next().unwrap_or_default());
    let code = if code.contains("(85) call") || code.contains("(95) exit") { "" } else { code };
    let mut registers = registers(reason);
    registers.extend(self::registers(code));
    let mut seen = Vec::new();
    registers.retain(|r| {
        !seen.contains(r) && {
            seen.push(*r);
            true
        }
    });
    let told = registers.into_iter().filter_map(|r| Some(format!("R{r} = {}", values.get(&r)?)));
    told.take(KNOWN_MAX).collect()
}

/// Numbers of registers that a text names, in order: `R1`, `r1`, `w1`.
fn registers(text: &str) -> Vec<u32> {
    let is_other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let number = |word: &str| word.strip_prefix(['R', 'r', 'w'])?.parse().ok();
    text.split(is_other).filter_map(number).filter(|r| *r <= 10).collect()
}

/// Takes `R1=VALUE` and `R1_w=VALUE` from a line; a value may have parentheses with anything in them.
fn read_values(line: &str, values: &mut BTreeMap<u32, String>) {
    for (at, _) in line.match_indices('R') {
        let rest = &line[at + 1..];
        let Some((name, value)) = rest.split_once('=') else { continue };
        let number = name.split('_').next().unwrap_or_default();
        let is_start = at == 0 || line.as_bytes()[at - 1] == b' ';
        let Some(register) = number.parse().ok().filter(|_| is_start && name.len() <= 5) else { continue };
        let mut depth = 0;
        let end = value.find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ' ' && depth == 0
        });
        values.insert(register, value[..end.unwrap_or(value.len())].to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log as 7.2 wrote it: the word, its line, values and what the hint begins with.
    #[track_caller]
    fn check(log: &str, reason: &str, line: &str, known: &[&str], hint: &str) {
        let LoadError::Verifier { reason: r, line: l, known: k, hint: h, .. } = of_log("f", log) else { panic!() };
        assert_eq!((r.as_str(), l.as_deref().unwrap_or("")), (reason, line));
        assert_eq!(k, known);
        assert!(h.as_deref().unwrap_or("").contains(hint), "{h:?}");
    }

    #[test]
    fn a_null_check_is_missing() {
        let log = "; u64 *value = bpf_map_lookup_elem(&figures, &key); @ a.bpf.c:7\n\
            4: (18) r1 = 0xff1100000521f200       ; R1=map_ptr(map=figures,ks=4,vs=8)\n\
            6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=figures,ks=4,vs=8)\n\
            ; *value += 1; @ a.bpf.c:8\n7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n\
            verification time 40 usec\nstack depth 8\nprocessed 7 insns (limit 1000000)\n";
        let known = ["R0 = map_value_or_null(id=1,map=figures,ks=4,vs=8)", "R1 = map_ptr(map=figures,ks=4,vs=8)"];
        check(log, "R0 invalid mem access 'map_value_or_null'", "a.bpf.c:8 (`*value += 1;`)", &known, "found nothing");
    }

    #[test]
    fn an_index_is_out_of_range() {
        let log = "; table[(u32)p->pid] += 1; @ a.bpf.c:7\n\
            1: (61) r1 = *(u32 *)(r1 +2808)       ; R1=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))\n\
            5: (0f) r2 += r1                      ; R2=map_value(map=a.bss,ks=4,vs=128,var_off=(0x0; 0x7fffffff8))\n\
            6: (79) r1 = *(u64 *)(r2 +0)\nR2 unbounded memory access, make sure to bounds check any such access\n";
        let known = [
            "R2 = map_value(map=a.bss,ks=4,vs=128,var_off=(0x0; 0x7fffffff8))",
            "R1 = scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))",
        ];
        let reason = "R2 unbounded memory access, make sure to bounds check any such access";
        check(log, reason, "a.bpf.c:7 (`table[(u32)p->pid] += 1;`)", &known, "in range");
    }

    #[test]
    fn a_loop_has_no_end() {
        let log = "; while (random() != 7) @ a.bpf.c:6\n7: (85) call bpf_get_prandom_u32#7\ninfinite loop detected at insn 8\n\
            cur state: R0=scalar() R10=fp0\nold state: R0=scalar() R10=fp0\n";
        check(log, "infinite loop detected at insn 8", "a.bpf.c:6 (`while (random() != 7)`)", &[], "bounded!");
        check(
            "BPF program is too large. Processed 1000001 insn\n",
            "BPF program is too large. Processed 1000001 insn",
            "",
            &[],
            "bounded!",
        );
    }

    #[test]
    fn a_reference_is_not_released() {
        let log = "; if let Some(other) = OwnedTask::from_pid(p.pid()) { @ policy.rs:12\n\
            3: (85) call bpf_task_from_pid#66993          ; R0=trusted_ptr_or_null_task_struct(id=2) refs=2\n\
            ; Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags); @ policy.rs:16\n28: (b4) w0 = 0                       ; R0=0 refs=2\n\
            29: (95) exit\nUnreleased reference id=2 alloc_insn=3\nBPF_EXIT instruction in main prog would lead to reference leak\n";
        let line = "policy.rs:12 (`if let Some(other) = OwnedTask::from_pid(p.pid()) {`)";
        check(log, "Unreleased reference id=2 alloc_insn=3", line, &[], "given back");
    }

    #[test]
    fn the_rest_has_a_hint_each() {
        for (reason, hint) in [
            ("calling kernel function scx_bpf_create_dsq is not allowed", "does not allow this function"),
            ("program must be sleepable to call sleepable kfunc x", "may sleep"),
            ("combined stack size of 2 calls is 800. Too large", "512 bytes"),
            ("function calls are not allowed while holding a lock", "compute first"),
            ("BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region", "release it"),
            ("R1 invalid mem access 'scalar'", "a number"),
            ("R1 pointer type STRUCT task_struct must point to scalar, or struct with scalar", "look it up again"),
            ("R1 cannot write into ptr_task_struct at off=2808 size=4", "not to be written"),
            ("R2 !read_ok", "never set"),
            ("At program exit the register R0 has smin=1 should have been in [0, 0]", "may return"),
            ("R6 bitwise operator |= on pointer prohibited", "make the array larger"),
            ("a word that nobody has seen", ""),
        ] {
            check(&format!("; x @ a.rs:1\n0: (bf) r3 = r4\n{reason}\n"), reason, "a.rs:1 (`x`)", &[], hint);
        }
    }
}
