//! Simulated containers that move plausibly, for trying out and for capacity planning.
