//! Cgroups: a tree that tasks are in from their fork on. Nothing shares by it; schedulers can see it.

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

/// A cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Path from the root; the root's is `/`.
    pub path: String,
    /// The cgroup that it is in; the root is in none.
    pub parent: Option<CgroupId>,
    /// Steps from the root.
    pub level: u32,
}

impl Cgroup {
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
        let root = Cgroup { path: "/".into(), parent: None, level: 0 };
        Cgroups { list: vec![root], by_path: BTreeMap::new() }
    }
}

impl Cgroups {
    /// The cgroup with a path, made with all that it is in, unless they exist. Where no id is left, what it would be in.
    pub fn make(&mut self, path: &str) -> CgroupId {
        let mut at = CgroupId::ROOT;
        let mut prefix = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            prefix.push('/');
            prefix.push_str(name);
            at = match self.by_path.get(&prefix) {
                Some(&id) => id,
                None => match self.add(&prefix, at) {
                    Some(id) => id,
                    None => break,
                },
            };
        }
        at
    }

    fn add(&mut self, path: &str, parent: CgroupId) -> Option<CgroupId> {
        let id = CgroupId(self.list.len() as u32 + 1);
        if id.0 >= CgroupId::LIMIT {
            return None;
        }
        let level = self.get(parent)?.level + 1;
        self.list.push(Cgroup { path: path.into(), parent: Some(parent), level });
        self.by_path.insert(path.into(), id);
        Some(id)
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

    #[test]
    fn a_path_makes_all_on_the_way() {
        let mut c = Cgroups::default();
        assert_eq!(["/", "", "/a/b", "/a", "/a/c", "//a/b/"].map(|p| c.make(p).0), [1, 1, 3, 2, 4, 3]);
        let group = |id| c.get(CgroupId(id)).map(|g| (g.path.as_str(), g.name(), g.parent.map(|p| p.0), g.level));
        assert_eq!(group(1), Some(("/", "/", None, 0)));
        assert_eq!(group(3), Some(("/a/b", "b", Some(2), 2)));
        assert_eq!((group(0), group(5)), (None, None));
        let ancestors = [-1, 0, 1, 2, 3].map(|level| c.ancestor(CgroupId(4), level).map(|a| a.0));
        assert_eq!(ancestors, [None, Some(1), Some(2), Some(4), None]);
    }
}
