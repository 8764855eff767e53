//! The machine's shape: CPUs in sockets, dies, cores and threads, and NUMA nodes.

/// CPUs that QEMU's `pc` machine takes at most.
const CPUS_MAX: u32 = 255;

/// Who shares which cache: threads of a core the first two, CPUs of a die (of a package, where there is but one) the last.
const CACHES: &str = "smp-cache.0.cache=l1d,smp-cache.0.topology=core,smp-cache.1.cache=l1i,smp-cache.1.topology=core,\
    smp-cache.2.cache=l2,smp-cache.2.topology=core,smp-cache.3.cache=l3,smp-cache.3.topology=die";

/// The shape of a virtual machine. CPUs are numbered socket by socket, die by die, core by core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sockets.
    pub sockets: u32,
    /// Dies of a socket; CPUs of a die share their last-level cache. With a QEMU older than 10 a guest sees each as a package
    /// of its own: it shows a guest no last-level cache smaller than a package.
    pub dies: u32,
    /// Cores of a die.
    pub cores: u32,
    /// Threads of a core.
    pub threads: u32,
    /// NUMA nodes, with equal shares of the CPUs and the memory; 1: none is told of.
    pub nodes: u32,
    /// Distance from node to node, rows by node, 10 on the diagonal; empty: QEMU's 20.
    pub distances: Vec<Vec<u8>>,
}

/// A shape that cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShapeError {
    /// Too many CPUs, or none.
    #[error("a virtual machine of {cpus} CPUs cannot be had: QEMU takes 1 to {CPUS_MAX}")]
    Cpus {
        /// How many were asked for.
        cpus: u64,
    },
    /// The nodes do not divide the machine.
    #[error("{cpus} CPUs cannot be shared evenly by {nodes} NUMA nodes")]
    Nodes {
        /// CPUs.
        cpus: u32,
        /// Nodes.
        nodes: u32,
    },
    /// The distances are no square table with 10 on its diagonal, and more elsewhere.
    #[error("NUMA distances have to be {nodes} rows of {nodes}, 10 from a node to itself and 11 to 254 to others")]
    Distances {
        /// Nodes.
        nodes: u32,
    },
}

impl Shape {
    /// So many single-threaded cores in one socket.
    pub fn flat(cpus: u32) -> Shape {
        Shape { sockets: 1, dies: 1, cores: cpus, threads: 1, nodes: 1, distances: Vec::new() }
    }

    /// How many CPUs.
    pub fn cpus(&self) -> u64 {
        [self.sockets, self.dies, self.cores, self.threads].into_iter().map(u64::from).fold(1, u64::saturating_mul)
    }

    /// Whether a guest has to be told who shares caches.
    pub(super) fn wants_caches(&self) -> bool {
        self.dies > 1 || self.threads > 1
    }

    /// QEMU's options for a machine of this shape and so much memory, MiB. `caches`: it can say who shares them.
    pub(super) fn args(&self, memory_mib: u32, caches: bool) -> Result<Vec<String>, ShapeError> {
        let cpus = match u32::try_from(self.cpus()) {
            Ok(cpus @ 1..=CPUS_MAX) => cpus,
            _ => return Err(ShapeError::Cpus { cpus: self.cpus() }),
        };
        let Shape { sockets, dies, cores, threads, nodes, .. } = *self;
        let (packages, in_package) = match (dies, caches) {
            (1, _) | (_, false) => (sockets * dies, String::new()),
            (_, true) => (sockets, format!("dies={dies},")),
        };
        let smp = format!("{cpus},sockets={packages},{in_package}cores={cores},threads={threads}");
        let machine = if caches && self.wants_caches() { format!("pc,{CACHES}") } else { "pc".to_owned() };
        let memory = memory_mib.next_multiple_of(nodes.max(1));
        let mut args = ["-machine", &machine, "-smp", &smp, "-m", &format!("{memory}M")].map(str::to_owned).to_vec();
        if nodes == 0 || !cpus.is_multiple_of(nodes) {
            return Err(ShapeError::Nodes { cpus, nodes });
        }
        self.check_distances()?;
        if nodes == 1 {
            return Ok(args);
        }
        let (share, part) = (cpus / nodes, memory / nodes);
        for node in 0..nodes {
            let (first, last) = (node * share, (node + 1) * share - 1);
            args.extend(["-object".into(), format!("memory-backend-ram,id=mem{node},size={part}M")]);
            args.extend(["-numa".into(), format!("node,nodeid={node},cpus={first}-{last},memdev=mem{node}")]);
        }
        for (from, row) in self.distances.iter().enumerate() {
            for (to, distance) in row.iter().enumerate().filter(|(to, _)| *to != from) {
                args.extend(["-numa".into(), format!("dist,src={from},dst={to},val={distance}")]);
            }
        }
        Ok(args)
    }

    fn check_distances(&self) -> Result<(), ShapeError> {
        let size = self.nodes as usize;
        let sound = |(from, row): (usize, &Vec<u8>)| {
            let right = |(to, d): (usize, &u8)| if to == from { *d == 10 } else { (11..=254).contains(d) };
            row.len() == size && row.iter().enumerate().all(right)
        };
        let square = self.distances.len() == size && self.distances.iter().enumerate().all(sound);
        if self.distances.is_empty() || square { Ok(()) } else { Err(ShapeError::Distances { nodes: self.nodes }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_become_options() {
        let check = |shape: &Shape, expect: Result<&str, ShapeError>| {
            let expect = expect.map(|e| format!("-machine pc {e}"));
            assert_eq!(shape.args(1000, false).map(|a| a.join(" ")), expect, "{shape:?}");
        };
        check(&Shape::flat(4), Ok("-smp 4,sockets=1,cores=4,threads=1 -m 1000M"));
        let dies = Shape { sockets: 2, dies: 2, ..Shape::flat(2) };
        check(&dies, Ok("-smp 8,sockets=4,cores=2,threads=1 -m 1000M"));
        let told = dies.args(1000, true).unwrap();
        assert!(told[1].starts_with("pc,smp-cache.0") && told[3] == "8,sockets=2,dies=2,cores=2,threads=1", "{told:?}");
        assert_eq!(Shape::flat(4).args(1000, true), Shape::flat(4).args(1000, false));
        check(&Shape::flat(0), Err(ShapeError::Cpus { cpus: 0 }));
        check(&Shape { threads: 2, ..Shape::flat(128) }, Err(ShapeError::Cpus { cpus: 256 }));
        check(&Shape { nodes: 3, ..Shape::flat(4) }, Err(ShapeError::Nodes { cpus: 4, nodes: 3 }));
        check(&Shape { nodes: 0, ..Shape::flat(4) }, Err(ShapeError::Nodes { cpus: 4, nodes: 0 }));
        let two =
            Shape { sockets: 2, dies: 1, cores: 2, threads: 2, nodes: 2, distances: vec![vec![10, 30], vec![31, 10]] };
        check(
            &two,
            Ok("-smp 8,sockets=2,cores=2,threads=2 -m 1000M \
                -object memory-backend-ram,id=mem0,size=500M -numa node,nodeid=0,cpus=0-3,memdev=mem0 \
                -object memory-backend-ram,id=mem1,size=500M -numa node,nodeid=1,cpus=4-7,memdev=mem1 \
                -numa dist,src=0,dst=1,val=30 -numa dist,src=1,dst=0,val=31"),
        );
        for distances in [vec![vec![10, 20]], vec![vec![10, 20], vec![20, 11]], vec![vec![10, 10], vec![20, 10]]] {
            check(&Shape { distances, ..two.clone() }, Err(ShapeError::Distances { nodes: 2 }));
        }
    }
}
