//! Reads the kernel's numbers of a cgroup, v1, hybrid and v2, into slots, on kept file descriptors.
