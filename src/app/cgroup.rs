//! The memory that the control group of this process may use: the limit of a container or of a systemd unit. (Its CPU quota
//! decides how many threads the runtime has, without code of ours: tokio starts as many as `available_parallelism` says.)

use std::path::{Path, PathBuf};

use crate::bounds::Bounds;
use crate::config::Overrides;

/// What is allowed for each connection: its buffers, 64 KiB when both directions stand still, and as much again for what
/// does not grow with the connections.
const MEMORY_PER_CONNECTION: u64 = 128 * 1024;
/// Probes of several kinds and a pool of connections from each peer need that many in the smallest container.
const FEWEST: usize = 64;

/// Adds the default of `bounds.connections` that the memory limit allows.
pub(super) fn within_memory(overrides: &Overrides) -> Overrides {
    let default_connections = memory_limit().map(connections_within);
    Overrides { default_connections, ..overrides.clone() }
}

/// Logs the bound of connections if the memory limit keeps it below the usual default.
pub(super) fn log_limit(bounds: &Bounds) {
    let Some(memory_limit) = memory_limit() else { return };
    let connections = connections_within(memory_limit);
    if connections < Bounds::default().connections && connections == bounds.connections {
        tracing::info!(memory_limit, connections, "bounds.connections follows from the memory limit");
    }
}

/// Returns the memory limit in bytes, if there is one.
fn memory_limit() -> Option<u64> {
    limit_below(Path::new("/sys/fs/cgroup"), &std::fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// Returns the `bounds.connections` that fit into that memory: at most the usual default.
fn connections_within(memory: u64) -> usize {
    let most = Bounds::default().connections;
    usize::try_from(memory / MEMORY_PER_CONNECTION).unwrap_or(most).clamp(FEWEST, most)
}

/// Returns the lowest limit of a process whose `/proc/self/cgroup` is `groups`. A group is held to the limits of all groups
/// above it.
fn limit_below(mounted: &Path, groups: &str) -> Option<u64> {
    let files = groups.lines().flat_map(|line| limit_files(mounted, line));
    // No number stands for no limit: "max" in version 2.
    files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// Returns the files with the limits of one line of `/proc/self/cgroup`: `NUMBER:CONTROLLERS:PATH`.
fn limit_files(mounted: &Path, line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (root, name) = match controllers {
        "" => (mounted.to_owned(), "memory.max"),
        _ if controllers.split(',').any(|controller| controller == "memory") => {
            (mounted.join("memory"), "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    // In version 1 a container sees its own group as the root, but reads its path on the host here.
    let relative = Path::new(path.trim_start_matches('/'));
    relative.ancestors().map(|group| root.join(group).join(name)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot write its files has failed")]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// The limit of a process in `groups`, with these files below the mount point.
    fn limit(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let mounted = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let file = mounted.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        limit_below(mounted.path(), groups)
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let files =
            [("a/b/memory.max", "max\n"), ("a/memory.max", "268435456\n"), ("memory.max", "1073741824\n")];
        assert_eq!(limit("0::/a/b\n", &files), Some(GIB / 4));
        assert_eq!(limit("0::/a\n", &files), Some(GIB / 4));
        assert_eq!(limit("0::/\n", &files), Some(GIB));
        assert_eq!(limit("0::/\n", &[("memory.max", "max\n")]), None);
        assert_eq!(limit("0::/\n", &[]), None);
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let files = [("memory/memory.limit_in_bytes", "134217728\n"), ("cpu/memory.limit_in_bytes", "1\n")];
        let groups = "9:name=systemd:/\n5:cpu,cpuacct:/\n4:memory:/docker/0f3c\n0::/\n";
        assert_eq!(limit(groups, &files), Some(GIB / 8));
    }

    #[test]
    fn connections_follow_the_memory_up_to_the_default() {
        for (memory, want) in
            [(0, 64), (GIB / 16, 512), (GIB / 4, 2048), (2 * GIB, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(connections_within(memory), want, "{memory}");
        }
    }
}
