//! The collector, with an inventory and a sampler that the test plays.
