//! Containers found by scanning the cgroup tree: ids without names, for hosts where no engine answers.
