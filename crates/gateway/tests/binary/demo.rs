//! The demo starts from nothing, and goes on from where it was.

use crate::program::{Running, tidegate};

#[test]
fn it_starts_from_nothing_and_again_on_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    for new in [12, 0] {
        let mut command = tidegate(folder.path());
        command.args(["demo", "--listen", "127.0.0.1:0", "--devices", "12"]);
        let demo = Running::start(command);
        demo.line("Tidegate runs at http://127.0.0.1:");
        demo.line(&format!("12 devices are enrolled, {new} of them new"));
        // The devices have taken the first build over HTTP before the second is released, in whichever of the runs.
        demo.line(if new > 0 {
            "releasing 1.0.0 to 100 %"
        } else {
            "releasing 1.1.0 to 10 %"
        });
        demo.signal("INT");
        demo.line("stopping");
        assert_eq!(demo.wait().code(), Some(0));
    }
}
