//! Snapshots as Prometheus pages: (snapshot, Accept, query) to a head and an iterator of chunks.
