//! What real engines answered, played by a [`RecordedEngine`].

use crate::{Answer, RecordedEngine, engine::fixture};

impl RecordedEngine {
    /// Has the containers that Docker 20.10 was recorded with: its list, and an inspect of each.
    pub fn play_docker(&self) {
        self.answer("/containers/json", Answer::text(fixture("engine-20.10/list.json")));
        for name in ["web", "renamed", "host", "none", "share", "fail", "made", "oom", "policy"] {
            self.play_inspect(&format!("engine-20.10/inspect-{name}.json"));
        }
    }

    /// Says in its headers that it is Podman 5.4.
    pub fn say_podman(&self) {
        self.headers(&[
            ("api-version", "1.41"),
            ("libpod-api-version", "5.4.2"),
            ("server", "Libpod/5.4.2 (linux)"),
        ]);
    }

    /// Has the containers that Podman 5.4 was recorded with, its version and what it says of its host.
    pub fn play_podman(&self) {
        self.say_podman();
        for (path, file) in [("/containers/json", "list"), ("/version", "version"), ("/info", "info")] {
            self.answer(path, Answer::text(fixture(&format!("podman/{file}.json"))));
        }
        for name in ["inpod", "sick", "plainer", "fails", "exits", "ooms"] {
            self.play_inspect(&format!("podman/inspect-{name}.json"));
        }
    }

    /// Answers the inspect of the container that a recorded one is of.
    ///
    /// # Panics
    ///
    /// There is no such file, or it does not begin with the container's id.
    pub fn play_inspect(&self, file: &str) {
        let body = fixture(file);
        let id = body.split('"').nth(3).expect("an inspect begins with the id").to_owned();
        self.answer(&format!("/containers/{id}/json"), Answer::text(body));
    }
}
