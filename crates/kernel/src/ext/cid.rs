//! Topological CPU ids: numbers in the order of nodes, last-level caches, cores (idle-and-cid J, K). [cid.c]

use crate::cpumask::CpuMask;
use crate::ids::CpuId;
use crate::topology::Topology;

/// Where a CPU is, in cids: the first one of each unit, and the unit's number in the order of cids; -1 where it is in none
/// [struct scx_cid_topo].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidTopo {
    /// First cid and number of the core.
    pub core: (i32, i32),
    /// Those of the last-level cache.
    pub llc: (i32, i32),
    /// Those of the node.
    pub node: (i32, i32),
}

impl CidTopo {
    /// In no unit.
    pub const NONE: CidTopo = CidTopo { core: (-1, -1), llc: (-1, -1), node: (-1, -1) };
}

/// CPUs by cid, and what is known of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cids {
    cpus: Vec<CpuId>,
    /// The other way: the cid of each CPU.
    cids: Vec<i32>,
    topo: Vec<CidTopo>,
}

impl Cids {
    /// From the CPUs that are online (J2, J3); the others come behind, in none of the units (J5).
    pub(crate) fn new(t: &Topology, online: &CpuMask) -> Cids {
        let mut cids = Cids::default();
        let (mut cores, mut llcs, mut nodes) = (0, 0, 0);
        let mut rest = *online;
        while let Some(cpu) = rest.first() {
            let node = (cids.next(), nodes);
            nodes += 1;
            let mut of_node = rest.and(&t.nodes[t.cpus[cpu].node as usize]);
            while let Some(cpu) = of_node.first() {
                let llc = (cids.next(), llcs);
                llcs += 1;
                let mut of_llc = of_node.and(&t.llcs[t.cpus[cpu].llc as usize]);
                while let Some(cpu) = of_llc.first() {
                    let core = (cids.next(), cores);
                    cores += 1;
                    for cpu in of_llc.and(&t.cores[t.cpus[cpu].core as usize]).iter() {
                        cids.cpus.push(cpu);
                        cids.topo.push(CidTopo { core, llc, node });
                        rest.clear(cpu);
                    }
                    of_llc = of_llc.and(&rest);
                }
                of_node = of_node.and(&rest);
            }
        }
        let offline = (0..t.nr_cpus() as u32).map(CpuId).filter(|&cpu| !online.test(cpu));
        for cpu in offline {
            cids.cpus.push(cpu);
            cids.topo.push(CidTopo::NONE);
        }
        cids.index();
        cids
    }

    fn index(&mut self) {
        self.cids = vec![-1; self.cpus.len()];
        for (cid, cpu) in self.cpus.iter().enumerate() {
            self.cids[cpu.0 as usize] = cid as i32;
        }
    }

    fn next(&self) -> i32 {
        self.cpus.len() as i32
    }

    /// The CPU with that cid.
    pub(crate) fn cpu(&self, cid: i32) -> Option<CpuId> {
        self.cpus.get(usize::try_from(cid).ok()?).copied()
    }

    /// The cid of a CPU.
    pub(crate) fn cid(&self, cpu: CpuId) -> Option<i32> {
        self.cids.get(cpu.0 as usize).copied()
    }

    /// Where the CPU with that cid is.
    pub(crate) fn topo(&self, cid: i32) -> CidTopo {
        let at = usize::try_from(cid).ok().and_then(|cid| self.topo.get(cid));
        at.copied().unwrap_or(CidTopo::NONE)
    }

    /// Takes the scheduler's own numbers, by CPU; nothing is known of the units then (K1).
    pub(crate) fn set(&mut self, by_cpu: &[i32]) -> Result<(), String> {
        let mut cpus = vec![None; by_cpu.len()];
        for (cpu, &cid) in by_cpu.iter().enumerate() {
            match usize::try_from(cid).ok().and_then(|cid| cpus.get_mut(cid)) {
                None => return Err(format!("invalid cid {cid}")),
                Some(Some(_)) => return Err(format!("cid {cid} assigned to multiple cpus")),
                Some(free) => *free = Some(CpuId(cpu as u32)),
            }
        }
        self.cpus = cpus.into_iter().flatten().collect();
        self.topo = vec![CidTopo::NONE; self.cpus.len()];
        self.index();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// J7: two nodes of two cores with two threads.
    #[test]
    fn order_is_that_of_the_topology() {
        let t = Topology::parse("2x2x2").unwrap();
        let cids = Cids::new(&t, &CpuMask::first_n(8));
        let cpus: Vec<u32> = cids.cpus.iter().map(|cpu| cpu.0).collect();
        assert_eq!(cpus, [0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(cids.cid(CpuId(5)), Some(3));
        assert_eq!(cids.topo(3), CidTopo { core: (2, 1), llc: (0, 0), node: (0, 0) });
        assert_eq!(cids.topo(4), CidTopo { core: (4, 2), llc: (4, 1), node: (4, 1) });
        let mut online = CpuMask::first_n(8);
        online.clear(CpuId(4));
        let cids = Cids::new(&t, &online);
        assert_eq!((cids.cpu(0), cids.cpu(1), cids.cpu(7)), (Some(CpuId(0)), Some(CpuId(1)), Some(CpuId(4))));
        assert_eq!((cids.topo(7), cids.cpu(8), cids.cpu(-1)), (CidTopo::NONE, None, None));
    }

    #[test]
    fn own_numbers_are_checked() {
        let t = Topology::parse("3").unwrap();
        let mut cids = Cids::new(&t, &CpuMask::first_n(3));
        assert_eq!(cids.set(&[2, 0, 1]), Ok(()));
        assert_eq!((cids.cpu(2), cids.cid(CpuId(1)), cids.topo(0)), (Some(CpuId(0)), Some(0), CidTopo::NONE));
        assert_eq!(cids.set(&[0, 3, 1]), Err("invalid cid 3".into()));
        assert_eq!(cids.set(&[0, 0, 1]), Err("cid 0 assigned to multiple cpus".into()));
    }
}
