//! The memory that this process may use: the limit of its control group, or the machine's memory.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory that the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The amount in bytes.
    pub bytes: u64,
    /// The origin of the amount.
    pub source: MemorySource,
}

/// The origin of a memory limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemorySource {
    /// The limit of the control group of the process, or of one above it.
    ControlGroup,
    /// The memory of the machine.
    Machine,
}

impl MemoryLimit {
    /// Reads the limit of this process; none if the system does not report it.
    ///
    /// `root` is the root of the file system. A limit above the memory of the machine, such as the
    /// number for "no limit" of version 1 of control groups, does not count.
    pub fn detect(root: &Path) -> Option<Self> {
        let machine = machine_memory(root);
        let limit = control_group_limit(root)
            .filter(|limit| machine.is_none_or(|machine| *limit < machine));
        let of = |source| move |bytes| Self { bytes, source };
        limit.map(of(MemorySource::ControlGroup)).or(machine.map(of(MemorySource::Machine)))
    }
}

/// The lowest limit of the control group of this process and of those above it, see cgroups(7).
///
/// In a container, the mounted hierarchy may begin at the group of the container, while the path in
/// `/proc/self/cgroup` names it from the outside. The path then does not exist, and the root of the
/// hierarchy has the limit.
fn control_group_limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (hierarchy, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let hierarchy = root.join(hierarchy);
        let group: PathBuf = hierarchy.join(path.trim_start_matches('/'));
        let groups = group.ancestors().take_while(|group| group.starts_with(&hierarchy));
        // A group without a limit has `max`, or a number beyond any machine's memory.
        limits
            .extend(groups.filter_map(|group| number(&fs::read_to_string(group.join(file)).ok()?)));
    }
    limits.into_iter().min()
}

/// `MemTotal` of `/proc/meminfo`, which is in KiB, see proc_meminfo(5).
fn machine_memory(root: &Path) -> Option<u64> {
    let info = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    number(total.trim_end().strip_suffix("kB")?)?.checked_mul(1 << 10)
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A file system with these files.
    fn limit_of(files: &[(&str, &str)]) -> Option<MemoryLimit> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        MemoryLimit::detect(root.path())
    }

    fn control_group(mebibytes: u64) -> Option<MemoryLimit> {
        Some(MemoryLimit { bytes: mebibytes * MIB, source: MemorySource::ControlGroup })
    }

    fn machine(mebibytes: u64) -> Option<MemoryLimit> {
        Some(MemoryLimit { bytes: mebibytes * MIB, source: MemorySource::Machine })
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        1048576 kB\nMemFree: 1 kB\n");

    #[test]
    fn lowest_limit_of_the_groups_above_counts() {
        let groups = [
            ("proc/self/cgroup", "0::/pods/one\n"),
            ("sys/fs/cgroup/pods/one/memory.max", "max\n"),
            ("sys/fs/cgroup/pods/memory.max", "536870912\n"),
            ("sys/fs/cgroup/memory.max", "805306368\n"),
            MEMINFO,
        ];
        assert_eq!(limit_of(&groups), control_group(512));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let group = ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/\n");
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let limited = ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "402653184\n");
        assert_eq!(limit_of(&[group, unlimited, limited, MEMINFO]), control_group(384));
        assert_eq!(limit_of(&[group, unlimited, MEMINFO]), machine(1024));
    }

    #[test]
    fn path_from_outside_of_the_container_leads_to_its_root() {
        let group = ("proc/self/cgroup", "0::/kubepods/pod7/c1\n");
        let limit = ("sys/fs/cgroup/memory.max", "805306368\n");
        assert_eq!(limit_of(&[group, limit, MEMINFO]), control_group(768));
    }

    #[test]
    fn without_a_limit_the_machine_counts() {
        assert_eq!(limit_of(&[("proc/self/cgroup", "garbage\n"), MEMINFO]), machine(1024));
        assert_eq!(limit_of(&[]), None);
    }
}
