//! Values that depend on the machine: `(i + nr_cpus / 2) % nr_cpus`.

use evalexpr::{Context as _, ContextWithMutableFunctions as _, ContextWithMutableVariables as _};
use evalexpr::{EvalexprError, Function, HashMapContext, Node, Value};
use scxr_kernel::ids::CpuId;
use scxr_kernel::topology::Topology;

/// What an expression may speak of.
pub(super) struct Names<'a> {
    /// The machine.
    pub(super) topology: &'a Topology,
    /// Ticks a second.
    pub(super) hz: u32,
    /// Values of the kernel's enumerators.
    pub(super) enumerator: &'a dyn Fn(&str) -> Option<u64>,
    /// Bytes of a type of the object.
    pub(super) size_of: &'a dyn Fn(&str) -> Option<u32>,
}

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Int(i64),
    Text(String),
}

/// Words that mean something everywhere.
const WORDS: &str = "nr_cpus, nr_cores, nr_llcs, nr_nodes, hz, i (the element of an array) and j (of its row), SCX_… (the \
                     kernel's own values), core(cpu), llc(cpu), node(cpu), sibling(cpu), capacity(cpu), by_capacity(n) (the \
                     CPUs, strongest first), and core_cpu(n), core_size(n), core_mask(n, word), as for llc, node, cpu and all (first CPU, \
                     number of CPUs, 64 of them as bits), sizeof(type)";

/// CPUs in groups, in order of their first CPUs.
struct Groups {
    /// The group of each CPU.
    of: Vec<i64>,
    /// The CPUs of each group.
    cpus: Vec<Vec<usize>>,
}

impl Groups {
    /// `first` tells groups apart: the first CPU of a CPU's group.
    fn new(topology: &Topology, first: impl Fn(CpuId) -> usize) -> Groups {
        let mut groups = Groups { of: Vec::new(), cpus: Vec::new() };
        for cpu in 0..topology.nr_cpus() {
            let first = first(CpuId(cpu as u32));
            let at = groups.cpus.iter().position(|g| g[0] == first).unwrap_or_else(|| {
                groups.cpus.push(Vec::new());
                groups.cpus.len() - 1
            });
            groups.cpus[at].push(cpu);
            groups.of.push(at as i64);
        }
        groups
    }

    fn each(&self, what: impl Fn(&[usize]) -> i64) -> Vec<i64> {
        self.cpus.iter().map(|cpus| what(cpus)).collect()
    }

    /// A function of a group and a number: its CPUs from 64 times that number on, as bits.
    fn mask(&self, name: &'static str) -> Function {
        let cpus = self.cpus.clone();
        Function::new(move |arguments| {
            let arguments = arguments.as_fixed_len_tuple(2)?;
            let (group, word) = (arguments[0].as_int()?, arguments[1].as_int()?);
            let cpus = usize::try_from(group).ok().and_then(|g| cpus.get(g)).ok_or_else(|| missing(name, group))?;
            let bits = cpus.iter().filter(|&&cpu| (cpu / 64) as i64 == word).map(|cpu| 1u64 << (cpu % 64)).sum::<u64>();
            Ok(Value::Int(bits as i64))
        })
    }
}

fn missing(what: &str, n: i64) -> EvalexprError {
    EvalexprError::CustomMessage(format!("there is no {what} {n}"))
}

/// A function of the number of a `what`, from its values.
fn by_number(what: &'static str, values: Vec<i64>) -> Function {
    Function::new(move |argument| {
        let n = argument.as_int()?;
        let value = usize::try_from(n).ok().and_then(|n| values.get(n));
        value.map(|v| Value::Int(*v)).ok_or_else(|| missing(what, n))
    })
}

impl Names<'_> {
    /// All that expressions may use but `i` and the kernel's values.
    pub(super) fn context(&self) -> Result<HashMapContext, String> {
        let t = self.topology;
        let first = |mask: &scxr_kernel::cpumask::CpuMask| mask.first().map_or(0, |c| c.0 as usize);
        let kinds = [
            ("cpu", Groups::new(t, |c| c.0 as usize)),
            ("all", Groups::new(t, |_| 0)),
            ("core", Groups::new(t, |c| first(t.smt_mask(c)))),
            ("llc", Groups::new(t, |c| first(t.llc_mask(c)))),
            ("node", Groups::new(t, |c| first(t.node_mask(c)))),
        ];
        let sibling = |cpu: usize| {
            let mask = t.smt_mask(CpuId(cpu as u32));
            let after = mask.iter().find(|c| c.0 as usize > cpu).or_else(|| mask.first());
            after.map_or(cpu as i64, |c| i64::from(c.0))
        };
        let siblings = (0..t.nr_cpus()).map(sibling).collect();
        let capacities: Vec<i64> = (0..t.nr_cpus()).map(|cpu| t.cpus[CpuId(cpu as u32)].capacity.into()).collect();
        let mut by_capacity: Vec<i64> = (0..t.nr_cpus() as i64).collect();
        by_capacity.sort_by_key(|&cpu| std::cmp::Reverse(capacities[cpu as usize]));
        let mut context = HashMapContext::new();
        let failed = |e: EvalexprError| e.to_string();
        let functions = [("sibling", siblings), ("capacity", capacities), ("by_capacity", by_capacity)];
        for (name, values) in functions {
            context.set_function(name.into(), by_number("CPU", values)).map_err(failed)?;
        }
        let mut words = vec![("nr_cpus".to_owned(), t.nr_cpus() as i64), ("hz".to_owned(), self.hz.into())];
        for (kind, groups) in kinds {
            words.push((format!("nr_{kind}s"), groups.cpus.len() as i64));
            let first = by_number(kind, groups.each(|cpus| cpus[0] as i64));
            let size = by_number(kind, groups.each(|cpus| cpus.len() as i64));
            for (name, function) in [
                (format!("{kind}_mask"), groups.mask(kind)),
                (format!("{kind}_cpu"), first),
                (format!("{kind}_size"), size),
                (kind.to_owned(), by_number("CPU", groups.of)),
            ] {
                context.set_function(name, function).map_err(failed)?;
            }
        }
        for (name, value) in words {
            context.set_value(name, Value::Int(value)).map_err(failed)?;
        }
        Ok(context)
    }

    /// Words such as `SCX_OPS_ENQ_LAST?`, which are 0 where the kernel has no such value, as their values.
    fn optional(&self, text: &str) -> String {
        let mut parts = text.split('?').peekable();
        let mut plain = String::new();
        while let Some(part) = parts.next() {
            let word = part.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
            match (parts.peek(), part[word..].starts_with("SCX_")) {
                (None, _) => plain += part,
                (Some(_), false) => plain = plain + part + "?",
                (Some(_), true) => {
                    let value = (self.enumerator)(&part[word..]).unwrap_or(0);
                    plain = format!("{plain}{}{}", &part[..word], value as i64);
                }
            }
        }
        plain
    }

    /// `sizeof(NAME)` as what it is.
    fn sizes(&self, text: &str) -> Result<String, String> {
        let mut parts = text.split("sizeof(");
        let mut plain = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once(')').ok_or_else(|| format!("`{text}`: a `(` without `)`"))?;
            let size = (self.size_of)(name.trim());
            let size = size.ok_or_else(|| format!("`{text}`: the object has no type `{}`", name.trim()))?;
            plain += &format!("{size}{rest}");
        }
        Ok(plain)
    }

    /// Reads an expression, and adds the kernel's values that it asks for to `context`.
    pub(super) fn read(&self, text: &str, context: &mut HashMapContext) -> Result<Node, String> {
        let plain = self.sizes(&self.optional(text))?;
        let node = evalexpr::build_operator_tree(&plain).map_err(|e| format!("`{text}`: {e}"))?;
        for name in node.iter_variable_identifiers().filter(|n| !matches!(*n, "i" | "j")) {
            if context.get_value(name).is_some() {
                continue;
            }
            let value = (self.enumerator)(name).filter(|_| name.starts_with("SCX_"));
            let value = value.ok_or_else(|| format!("`{text}`: there is no `{name}`; there are {WORDS}"))?;
            context.set_value(name.to_owned(), Value::Int(value as i64)).map_err(|e| e.to_string())?;
        }
        Ok(node)
    }
}

/// What it comes to for element `i`, or for element `j` of its row `i`.
pub(super) fn worth(
    node: &Node,
    text: &str,
    (i, j): (i64, i64),
    context: &mut HashMapContext,
) -> Result<Worth, String> {
    for (name, value) in [("i", i), ("j", j)] {
        context.set_value(name.into(), Value::Int(value)).map_err(|e| e.to_string())?;
    }
    match node.eval_with_context(context) {
        Ok(Value::Int(n)) => Ok(Worth::Int(n)),
        Ok(Value::Boolean(b)) => Ok(Worth::Int(b.into())),
        Ok(Value::String(s)) => Ok(Worth::Text(s)),
        Ok(other) => Err(format!("`{text}` is {other}, which is neither a whole number nor text")),
        Err(EvalexprError::FunctionIdentifierNotFound(name)) => {
            Err(format!("`{text}`: there is no function `{name}`; there are {WORDS}"))
        }
        Err(
            EvalexprError::DivisionError { divisor: Value::Int(0), .. }
            | EvalexprError::ModulationError { divisor: Value::Int(0), .. },
        ) => {
            let machine = context.get_value("nr_cpus").map(|n| format!(" where nr_cpus is {n}")).unwrap_or_default();
            Err(format!("`{text}` divides by 0{machine}"))
        }
        Err(e) => Err(format!("`{text}`: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(machine: &str, text: &str, i: i64) -> Result<Worth, String> {
        let topology = Topology::parse(machine).unwrap();
        let names = Names {
            topology: &topology,
            hz: 250,
            enumerator: &|n| (n == "SCX_SLICE_DFL").then_some(20_000_000),
            size_of: &|n| (n == "task_ctx").then_some(48),
        };
        let mut context = names.context()?;
        let node = names.read(text, &mut context)?;
        worth(&node, text, (i, 0), &mut context)
    }

    #[test]
    fn expressions_of_the_machine() {
        for (machine, text, i, expect) in [
            ("8", "nr_cpus", 0, 8),
            ("8", "(i + nr_cpus / 2) % nr_cpus", 5, 1),
            ("2x4x2", "nr_nodes * 100 + nr_cores", 0, 208),
            ("2x4x2", "core(0) == core(sibling(0))", 0, 1),
            ("2x4x2", "node(15)", 0, 1),
            ("4", "sibling(i)", 3, 3),
            ("2x4x2", "core_cpu(i)", 1, 1),
            ("2x4x2", "node_size(i) * 100 + llc_size(i)", 1, 808),
            ("2x4x2", "node_mask(i, 0)", 1, 0xf0f0),
            ("2x4x2", "node_mask(i, 1)", 1, 0),
            ("1x64x2", "core_mask(i, 1)", 32, 1 << 32),
            ("4", "capacity(by_capacity(0))", 0, 1024),
            ("4", "if(i < 2, 7, SCX_SLICE_DFL)", 2, 20_000_000),
            ("4", "SCX_NOTHING? + SCX_SLICE_DFL?", 0, 20_000_000),
            ("4", "1 + sizeof(task_ctx) * 2", 0, 97),
        ] {
            assert_eq!(check(machine, text, i), Ok(Worth::Int(expect)), "{machine} {text}");
        }
        assert_eq!(check("1", "\"x\"", 0), Ok(Worth::Text("x".into())));
    }

    #[test]
    fn slips_in_expressions_are_told() {
        for (text, expect) in [
            ("nr_cpu", "there is no `nr_cpu`; there are nr_cpus"),
            ("SCX_NOTHING", "there is no `SCX_NOTHING`"),
            ("cores(0)", "there is no function `cores`"),
            ("core(9)", "there is no CPU 9"),
            ("core_mask(2, 0)", "there is no core 2"),
            ("1.5", "neither a whole number"),
            ("(1", "`(1`:"),
            ("nr_cpus?", "`nr_cpus?`:"),
            ("sizeof(thing)", "the object has no type `thing`"),
            ("1 / 0", "`1 / 0` divides by 0 where nr_cpus is 2"),
            ("1 % (nr_cpus / 4)", "`1 % (nr_cpus / 4)` divides by 0"),
        ] {
            let e = check("2", text, 0).unwrap_err();
            assert!(e.contains(expect), "{text}: {e}");
        }
    }
}
