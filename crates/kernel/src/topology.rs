//! The machine's shape: NUMA nodes, last-level caches, cores, hardware threads, capacities.

use thiserror::Error;

use crate::cpumask::{CpuMask, MAX_CPUS};
use crate::ids::{CpuId, PerCpu};

/// Full capacity of a CPU (SCHED_CAPACITY_SCALE).
pub const CAPACITY_SCALE: u32 = 1024;

/// A machine that cannot be built.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TopologyError {
    /// The text is not a machine.
    #[error(
        "machine '{spec}': {why}; write a number of CPUs (8), or NODESxCORESxTHREADS (2x8x2), or NODESxLLCSxCORESxTHREADS (2x4x8x2)"
    )]
    Spec {
        /// As given.
        spec: String,
        /// What is wrong.
        why: String,
    },
}

/// Place of one CPU. Units are numbered from 0 over the whole machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuPlace {
    /// Core.
    pub core: u32,
    /// Last-level cache.
    pub llc: u32,
    /// NUMA node.
    pub node: u32,
    /// Capacity, 1 to 1024.
    pub capacity: u32,
}

/// How far apart two CPUs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// The same CPU.
    Same,
    /// Hardware threads of a core.
    Smt,
    /// A last-level cache in common.
    Llc,
    /// A NUMA node in common.
    Node,
    /// Different nodes.
    Remote,
}

/// The machine's shape.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Text from which it was made.
    pub spec: String,
    /// Place of each CPU.
    pub cpus: PerCpu<CpuPlace>,
    /// CPUs of each core.
    pub cores: Vec<CpuMask>,
    /// CPUs of each last-level cache.
    pub llcs: Vec<CpuMask>,
    /// CPUs of each node.
    pub nodes: Vec<CpuMask>,
    /// Distance between nodes as the firmware states it: 10 is local, 20 one hop.
    pub node_distance: Vec<Vec<u32>>,
}

impl Topology {
    /// `nodes` × `llcs` a node × `cores` an LLC × `threads` a core. CPU numbers follow the hardware's habit: the first
    /// threads of all cores come first, then the second ones.
    pub fn new(nodes: u32, llcs: u32, cores: u32, threads: u32) -> Topology {
        let nr_cores = nodes * llcs * cores;
        let place = |cpu: CpuId| {
            let core = cpu.0 % nr_cores;
            CpuPlace { core, llc: core / cores, node: core / (cores * llcs), capacity: CAPACITY_SCALE }
        };
        let cpus = PerCpu::new((nr_cores * threads) as usize, place);
        let distance = |a, b| if a == b { 10 } else { 20 };
        let node_distance = (0..nodes).map(|a| (0..nodes).map(|b| distance(a, b)).collect()).collect();
        let spec = match (nodes, llcs, threads) {
            (1, 1, 1) => cores.to_string(),
            (_, 1, _) => format!("{nodes}x{cores}x{threads}"),
            _ => format!("{nodes}x{llcs}x{cores}x{threads}"),
        };
        Topology::from_places(spec, cpus, node_distance)
    }

    fn from_places(spec: String, cpus: PerCpu<CpuPlace>, node_distance: Vec<Vec<u32>>) -> Topology {
        let group = |unit: fn(&CpuPlace) -> u32| {
            let n = cpus.iter().map(unit).max().map_or(0, |m| m + 1);
            let mut masks = vec![CpuMask::EMPTY; n as usize];
            cpus.iter().enumerate().for_each(|(i, p)| masks[unit(p) as usize].set(CpuId(i as u32)));
            masks
        };
        let (cores, llcs, nodes) = (group(|p| p.core), group(|p| p.llc), group(|p| p.node));
        Topology { spec, cpus, cores, llcs, nodes, node_distance }
    }

    /// Reads `8`, `8x2` (cores × threads), `2x8x2` (nodes × cores × threads) or `2x4x8x2` (nodes × LLCs × cores × threads).
    pub fn parse(spec: &str) -> Result<Topology, TopologyError> {
        let fail = |why: String| TopologyError::Spec { spec: spec.to_string(), why };
        let number = |part: &str| match part.trim().parse::<u32>() {
            Ok(0) => Err(fail("a machine has no CPU if one of its numbers is 0".into())),
            Ok(n) => Ok(n),
            Err(_) => Err(fail(format!("'{part}' is not a number"))),
        };
        let parts = spec.split('x').map(number).collect::<Result<Vec<_>, _>>()?;
        let [nodes, llcs, cores, threads] = match parts[..] {
            [n] => [1, 1, n, 1],
            [c, t] => [1, 1, c, t],
            [n, c, t] => [n, 1, c, t],
            [n, l, c, t] => [n, l, c, t],
            _ => return Err(fail("there are more than four numbers".into())),
        };
        let total = parts.iter().try_fold(1u32, |a, &b| a.checked_mul(b)).filter(|&n| n as usize <= MAX_CPUS);
        if total.is_none() {
            return Err(fail(format!("it has more than {MAX_CPUS} CPUs")));
        }
        if threads > 8 {
            return Err(fail("a core has at most 8 threads".into()));
        }
        let mut topology = Topology::new(nodes, llcs, cores, threads);
        topology.spec = spec.to_string();
        Ok(topology)
    }

    /// Number of CPUs.
    pub fn nr_cpus(&self) -> usize {
        self.cpus.0.len()
    }

    /// Hardware threads of `cpu`'s core, itself included.
    pub fn smt_mask(&self, cpu: CpuId) -> &CpuMask {
        &self.cores[self.cpus[cpu].core as usize]
    }

    /// CPUs that share `cpu`'s last-level cache.
    pub fn llc_mask(&self, cpu: CpuId) -> &CpuMask {
        &self.llcs[self.cpus[cpu].llc as usize]
    }

    /// CPUs of `cpu`'s node.
    pub fn node_mask(&self, cpu: CpuId) -> &CpuMask {
        &self.nodes[self.cpus[cpu].node as usize]
    }

    /// Has some core more than one thread?
    pub fn has_smt(&self) -> bool {
        self.cpus.0.len() > self.cores.len()
    }

    /// How far apart `a` and `b` are.
    pub fn distance(&self, a: CpuId, b: CpuId) -> Distance {
        let (x, y) = (&self.cpus[a], &self.cpus[b]);
        match () {
            () if a == b => Distance::Same,
            () if x.core == y.core => Distance::Smt,
            () if x.llc == y.llc => Distance::Llc,
            () if x.node == y.node => Distance::Node,
            () => Distance::Remote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        let check = |spec: &str, cpus, cores, llcs, nodes| {
            let t = Topology::parse(spec).unwrap();
            assert_eq!((t.nr_cpus(), t.cores.len(), t.llcs.len(), t.nodes.len()), (cpus, cores, llcs, nodes), "{spec}");
        };
        check("8", 8, 8, 1, 1);
        check("4x2", 8, 4, 1, 1);
        check("2x8x2", 32, 16, 2, 2);
        check("2x4x8x2", 128, 64, 8, 2);
        check("1024", 1024, 1024, 1, 1);
    }

    #[test]
    fn siblings_are_half_the_machine_apart() {
        let t = Topology::parse("2x4x2").unwrap();
        assert_eq!(t.smt_mask(CpuId(1)).to_string(), "1,9");
        assert_eq!(t.distance(CpuId(0), CpuId(8)), Distance::Smt);
        assert_eq!(t.distance(CpuId(0), CpuId(3)), Distance::Llc);
        assert_eq!(t.distance(CpuId(0), CpuId(4)), Distance::Remote);
    }

    #[test]
    fn impossible_machines_say_why() {
        for (spec, why) in [
            ("0", "no CPU"),
            ("2x0", "no CPU"),
            ("x", "not a number"),
            ("1025", "more than 1024"),
            ("2x2x2x2x2", "four numbers"),
        ] {
            let e = Topology::parse(spec).unwrap_err().to_string();
            assert!(e.contains(why), "{spec}: {e}");
        }
        assert!(Topology::parse("70000x70000").unwrap_err().to_string().contains("more than 1024"));
    }
}
