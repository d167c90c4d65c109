//! Who the containers are: an inventory of a Docker-compatible engine that follows its events and never dies.
