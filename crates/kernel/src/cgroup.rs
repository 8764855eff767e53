//! Cgroups: a tree that tasks are in from their fork on, each with the settings of the cpu controller. The fair class does
//! not share by it; schedulers of the extensible class are told of it and may.

use std::collections::BTreeMap;

/// A cgroup, by its id, which is also the number of its directory (`kn->id`). The root has 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupId(pub u32);

impl CgroupId {
    /// The root.
    pub const ROOT: CgroupId = CgroupId(1);
    /// Ids are below this.
    pub const LIMIT: u32 = 1 << 20;
}

/// What a group may use of CPU time, as cpu.max and cpu.max.burst say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// Period, us.
    pub period_us: u64,
    /// CPU time in each period, us; [`Bandwidth::UNLIMITED`]: as much as there is.
    pub quota_us: u64,
    /// Unused time that may be saved up, us.
    pub burst_us: u64,
}

impl Bandwidth {
    /// A quota that is none.
    pub const UNLIMITED: u64 = u64::MAX;
}

impl Default for Bandwidth {
    fn default() -> Bandwidth {
        Bandwidth { period_us: 100_000, quota_us: Self::UNLIMITED, burst_us: 0 }
    }
}

/// A cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Path from the root; the root's is `/`.
    pub path: String,
    /// The cgroup that it is in; the root is in none.
    pub parent: Option<CgroupId>,
    /// Steps from the root.
    pub level: u32,
    /// Weight, 1 to 10000 [cpu.weight].
    pub weight: u32,
    /// Its tasks run only when nobody else does [cpu.idle].
    pub idle: bool,
    /// Limit of its CPU time [cpu.max].
    pub bandwidth: Bandwidth,
    /// It has been removed; its number is not used again.
    pub removed: bool,
    /// The scheduler knows it [SCX_TG_INITED].
    pub(crate) inited: bool,
}

impl Cgroup {
    /// A new one, with the settings of a new one (E-227).
    fn new(path: &str, parent: Option<CgroupId>, level: u32) -> Cgroup {
        let bandwidth = Bandwidth::default();
        Cgroup { path: path.into(), parent, level, weight: 100, idle: false, bandwidth, removed: false, inited: false }
    }

    /// Last part of the path; the root's is `/`.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("/")
    }
}

/// All cgroups, by id.
#[derive(Clone, Debug)]
pub struct Cgroups {
    /// The cgroup with id `n` is at `n - 1`.
    list: Vec<Cgroup>,
    by_path: BTreeMap<String, CgroupId>,
}

impl Default for Cgroups {
    fn default() -> Cgroups {
        Cgroups { list: vec![Cgroup::new("/", None, 0)], by_path: BTreeMap::new() }
    }
}

impl Cgroups {
    /// The cgroup with a path, unless it does not exist.
    pub fn find(&self, path: &str) -> Option<CgroupId> {
        let mut normal = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            normal.push('/');
            normal.push_str(name);
        }
        if normal.is_empty() { Some(CgroupId::ROOT) } else { self.by_path.get(&normal).copied() }
    }

    /// The deepest cgroup that exists on the way to `path`, and the path of the one below it that does not, if one does not.
    pub(crate) fn way(&self, path: &str) -> (CgroupId, Option<String>) {
        let mut at = CgroupId::ROOT;
        let mut prefix = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            prefix.push('/');
            prefix.push_str(name);
            match self.by_path.get(&prefix) {
                Some(&id) => at = id,
                None => return (at, Some(prefix)),
            }
        }
        (at, None)
    }

    /// A new cgroup in another; `None`: no id is left.
    pub(crate) fn add(&mut self, path: &str, parent: CgroupId) -> Option<CgroupId> {
        let id = CgroupId(self.list.len() as u32 + 1);
        if id.0 >= CgroupId::LIMIT {
            return None;
        }
        let level = self.get(parent)?.level + 1;
        self.list.push(Cgroup::new(path, Some(parent), level));
        self.by_path.insert(path.into(), id);
        Some(id)
    }

    /// A cgroup goes; who holds a reference can still look at it.
    pub(crate) fn remove(&mut self, id: CgroupId) {
        if let Some(group) = self.get_mut(id) {
            group.removed = true;
            let path = group.path.clone();
            self.by_path.remove(&path);
        }
    }

    /// Those in a cgroup that are there, in order of their making.
    pub(crate) fn children(&self, id: CgroupId) -> impl DoubleEndedIterator<Item = CgroupId> + '_ {
        let groups = (1..).map(CgroupId).zip(&self.list).collect::<Vec<_>>();
        groups.into_iter().filter(move |(_, g)| g.parent == Some(id) && !g.removed).map(|(child, _)| child)
    }

    /// A cgroup and those that it is in, up to the root.
    pub fn ways_up(&self, id: CgroupId) -> impl Iterator<Item = CgroupId> + '_ {
        std::iter::successors(Some(id), |&id| self.get(id)?.parent)
    }

    /// All that are there, parents before children [css_for_each_descendant_pre].
    pub fn pre_order(&self) -> Vec<CgroupId> {
        let (mut todo, mut order) = (vec![CgroupId::ROOT], Vec::new());
        while let Some(id) = todo.pop() {
            order.push(id);
            todo.extend(self.children(id).rev());
        }
        order
    }

    /// All that are there, children before parents [css_for_each_descendant_post].
    pub fn post_order(&self) -> Vec<CgroupId> {
        let (mut todo, mut order) = (vec![CgroupId::ROOT], Vec::new());
        while let Some(id) = todo.pop() {
            order.push(id);
            todo.extend(self.children(id));
        }
        order.reverse();
        order
    }

    /// The cgroup with an id.
    pub(crate) fn get_mut(&mut self, id: CgroupId) -> Option<&mut Cgroup> {
        self.list.get_mut((id.0 as usize).checked_sub(1)?)
    }

    /// The cgroup with an id.
    pub fn get(&self, id: CgroupId) -> Option<&Cgroup> {
        self.list.get((id.0 as usize).checked_sub(1)?)
    }

    /// The cgroup at `level` on the way from the root to `id`; itself at its own level [cgroup_ancestor].
    pub fn ancestor(&self, id: CgroupId, level: i32) -> Option<CgroupId> {
        let mut at = id;
        let level = u32::try_from(level).ok().filter(|&l| self.get(id).is_some_and(|c| l <= c.level))?;
        while self.get(at)?.level > level {
            at = self.get(at)?.parent?;
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a group and all that it is in, as a kernel without a scheduler does.
    fn make(c: &mut Cgroups, path: &str) -> CgroupId {
        loop {
            match c.way(path) {
                (at, None) => return at,
                (at, Some(next)) => drop(c.add(&next, at).expect("an id")),
            }
        }
    }

    #[test]
    fn a_path_makes_all_on_the_way() {
        let mut c = Cgroups::default();
        assert_eq!(["/", "", "/a/b", "/a", "/a/c", "//a/b/"].map(|p| make(&mut c, p).0), [1, 1, 3, 2, 4, 3]);
        let group = |id| c.get(CgroupId(id)).map(|g| (g.path.as_str(), g.name(), g.parent.map(|p| p.0), g.level));
        assert_eq!(group(1), Some(("/", "/", None, 0)));
        assert_eq!(group(3), Some(("/a/b", "b", Some(2), 2)));
        assert_eq!((group(0), group(5)), (None, None));
        let ancestors = [-1, 0, 1, 2, 3].map(|level| c.ancestor(CgroupId(4), level).map(|a| a.0));
        assert_eq!(ancestors, [None, Some(1), Some(2), Some(4), None]);
    }

    #[test]
    fn walks_go_down_and_up_the_tree() {
        let mut c = Cgroups::default();
        for path in ["/a/b", "/d", "/a/c", "/d/e"] {
            make(&mut c, path);
        }
        let paths = |ids: Vec<CgroupId>| -> String {
            ids.iter().map(|&id| format!("{} ", c.get(id).expect("a group").name())).collect()
        };
        assert_eq!(paths(c.pre_order()), "/ a b c d e ");
        assert_eq!(paths(c.post_order()), "b c a e d / ");
        let b = c.find("/a/b").expect("it is there");
        c.remove(b);
        assert_eq!((c.find("a/b"), c.pre_order().len(), c.get(b).map(|g| g.removed)), (None, 5, Some(true)));
    }
}
