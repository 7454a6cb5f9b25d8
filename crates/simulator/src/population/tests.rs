use super::*;

#[test]
fn the_documented_default_is_a_population() {
    let usual = Population::usual().unwrap();
    assert!(usual.models.len() >= 2 && usual.networks.len() >= 2);
}

/// What a change of the default is answered with.
fn refusal(from: &str, to: &str) -> String {
    assert!(DEFAULT.contains(from), "the default has no {from:?}");
    let changed = DEFAULT.replacen(from, to, 1);
    match Population::parse(&changed) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{to:?} was taken"),
    }
}

#[test]
fn a_file_that_means_something_else_is_refused_by_name() {
    for (from, to, named) in [
        ("clock_skew_s = 90", "clock_skews = 90", "clock_skews"),
        ("share = 60", "share = -1", "models"),
        ("cut = 0.04", "cut = 4", "downloads.cut"),
        ("battery = \"shift\"", "battery = \"nuclear\"", "nuclear"),
        ("model = \"Scanner S\"", "model = \"Scanner X\"", "Scanner X"),
        ("sdks = [28, 30, 34]", "sdks = []", "Kiosk 10"),
        ("\"kiosk\", \"indoor\"", "\"kiosk,indoor\"", "kiosk,indoor"),
        (
            "offline_h = [0.2, 4.0]",
            "offline_h = [4.0, 0.2]",
            "networks.offline_h",
        ),
        ("factory_version = 1", "factory_version = -1", "factory_version"),
        ("cut = 0.04", "cut = nan", "downloads.cut"),
        ("foreign_base = 0", "foreign_base = 2", "patches.foreign_base"),
        ("damaged = 0", "damages = 0", "damages"),
        ("per_day = 3.0", "per_day = \"often\"", "per_day"),
    ] {
        let said = refusal(from, to);
        assert!(said.contains(named), "{to:?} was answered with: {said}");
    }
}

#[test]
fn a_file_is_named_in_its_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.toml");
    std::fs::write(&path, "models = 3").unwrap();
    let said = Population::read(&path).unwrap_err().to_string();
    assert!(said.contains("fleet.toml"), "{said}");
    let missing = Population::read(&folder.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().contains("none.toml"), "{missing}");
}
