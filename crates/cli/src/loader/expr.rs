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
}

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Int(i64),
    Text(String),
}

/// Words that mean something everywhere.
const WORDS: &str = "nr_cpus, nr_cores, nr_llcs, nr_nodes, hz, i (the element of an array), SCX_… (the kernel's own \
                     values), core(cpu), llc(cpu), node(cpu), sibling(cpu)";

/// Numbers of groups of CPUs that a function of a CPU tells apart, in order of their first CPUs; by CPU.
fn groups(topology: &Topology, first: impl Fn(CpuId) -> usize) -> (Vec<i64>, i64) {
    let mut firsts: Vec<usize> = Vec::new();
    let by_cpu = (0..topology.nr_cpus()).map(|cpu| {
        let first = first(CpuId(cpu as u32));
        let at = firsts.iter().position(|&f| f == first).unwrap_or_else(|| {
            firsts.push(first);
            firsts.len() - 1
        });
        at as i64
    });
    let by_cpu: Vec<i64> = by_cpu.collect();
    (by_cpu, firsts.len() as i64)
}

/// A function of a CPU, from its values.
fn of_cpu(values: Vec<i64>) -> Function {
    Function::new(move |argument| {
        let cpu = argument.as_int()?;
        let value = usize::try_from(cpu).ok().and_then(|cpu| values.get(cpu));
        value.map(|v| Value::Int(*v)).ok_or_else(|| EvalexprError::CustomMessage(format!("there is no CPU {cpu}")))
    })
}

impl Names<'_> {
    /// All that expressions may use but `i` and the kernel's values.
    pub(super) fn context(&self) -> Result<HashMapContext, String> {
        let t = self.topology;
        let first = |mask: &scxr_kernel::cpumask::CpuMask| mask.first().map_or(0, |c| c.0 as usize);
        let (cores, nr_cores) = groups(t, |c| first(t.smt_mask(c)));
        let (llcs, nr_llcs) = groups(t, |c| first(t.llc_mask(c)));
        let (nodes, nr_nodes) = groups(t, |c| first(t.node_mask(c)));
        let sibling = |cpu: usize| {
            let mask = t.smt_mask(CpuId(cpu as u32));
            let after = mask.iter().find(|c| c.0 as usize > cpu).or_else(|| mask.first());
            after.map_or(cpu as i64, |c| i64::from(c.0))
        };
        let siblings = (0..t.nr_cpus()).map(sibling).collect();
        let mut context = HashMapContext::new();
        let words = [
            ("nr_cpus", t.nr_cpus() as i64),
            ("nr_cores", nr_cores),
            ("nr_llcs", nr_llcs),
            ("nr_nodes", nr_nodes),
            ("hz", self.hz.into()),
        ];
        let functions = [("core", cores), ("llc", llcs), ("node", nodes), ("sibling", siblings)];
        let failed = |e: EvalexprError| e.to_string();
        for (name, value) in words {
            context.set_value(name.into(), Value::Int(value)).map_err(failed)?;
        }
        for (name, values) in functions {
            context.set_function(name.into(), of_cpu(values)).map_err(failed)?;
        }
        Ok(context)
    }

    /// Reads an expression, and adds the kernel's values that it asks for to `context`.
    pub(super) fn read(&self, text: &str, context: &mut HashMapContext) -> Result<Node, String> {
        let node = evalexpr::build_operator_tree(text).map_err(|e| format!("`{text}`: {e}"))?;
        for name in node.iter_variable_identifiers().filter(|n| *n != "i") {
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

/// What it comes to for element `i`.
pub(super) fn worth(node: &Node, text: &str, i: i64, context: &mut HashMapContext) -> Result<Worth, String> {
    context.set_value("i".into(), Value::Int(i)).map_err(|e| e.to_string())?;
    match node.eval_with_context(context) {
        Ok(Value::Int(n)) => Ok(Worth::Int(n)),
        Ok(Value::Boolean(b)) => Ok(Worth::Int(b.into())),
        Ok(Value::String(s)) => Ok(Worth::Text(s)),
        Ok(other) => Err(format!("`{text}` is {other}, which is neither a whole number nor text")),
        Err(EvalexprError::FunctionIdentifierNotFound(name)) => {
            Err(format!("`{text}`: there is no function `{name}`; there are {WORDS}"))
        }
        Err(e) => Err(format!("`{text}`: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(machine: &str, text: &str, i: i64) -> Result<Worth, String> {
        let topology = Topology::parse(machine).unwrap();
        let names =
            Names { topology: &topology, hz: 250, enumerator: &|n| (n == "SCX_SLICE_DFL").then_some(20_000_000) };
        let mut context = names.context()?;
        let node = names.read(text, &mut context)?;
        worth(&node, text, i, &mut context)
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
            ("4", "if(i < 2, 7, SCX_SLICE_DFL)", 2, 20_000_000),
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
            ("1.5", "neither a whole number"),
            ("(1", "`(1`:"),
            ("1 / 0", "`1 / 0`:"),
        ] {
            let e = check("2", text, 0).unwrap_err();
            assert!(e.contains(expect), "{text}: {e}");
        }
    }
}
