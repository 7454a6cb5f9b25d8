//! The cluster cleans up after itself, whatever happens to the tests.

use super::*;
use std::io::{BufRead as _, BufReader};

/// Set for the test process that is going to be killed.
const VICTIM: &str = "TIDEGATE_PG_VICTIM";

fn rows(database: &Database, sql: &str) -> String {
    let output = database.door.ask(database.name(), sql);
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn two_tests_side_by_side_do_not_see_each_other() {
    let threads: Vec<_> = ["first", "second"]
        .map(|hint| {
            std::thread::spawn(move || {
                let database = database(hint);
                rows(&database, "CREATE TABLE only_mine (id int)");
                rows(
                    &database,
                    &format!("INSERT INTO only_mine VALUES ({})", hint.len()),
                );
                rows(&database, "SELECT id FROM only_mine")
            })
        })
        .into_iter()
        .collect();
    let answers: Vec<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(answers, ["5", "6"]);
}

#[test]
fn the_url_is_all_that_a_client_needs() {
    let database = database("Ünusual name; DROP");
    let psql = Command::new(&database.door.psql)
        .arg(database.url())
        .args(["-Atc", "SELECT 1"])
        .output();
    assert_eq!(String::from_utf8(psql.unwrap().stdout).unwrap(), "1\n");
    assert!(!format!("{database:?}").contains(&database.door.password));
}

#[test]
fn a_dropped_database_is_gone_even_while_somebody_is_connected() {
    let stays = database("stays");
    let goes = database("goes");
    let name = goes.name().to_owned();
    let mut sleeper = Command::new(&goes.door.psql)
        .arg(goes.url())
        .args(["-c", "SELECT pg_sleep(600)"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let count = |what: &str| {
        rows(
            &stays,
            &format!("SELECT count(*) FROM {what} WHERE datname = '{name}'"),
        )
    };
    while count("pg_stat_activity") == "0" {
        sleep(Duration::from_millis(10));
    }
    drop(goes);
    assert_eq!(count("pg_database"), "0");
    assert!(!sleeper.wait().unwrap().success());
}

#[test]
fn a_cluster_of_ones_own_stops_when_it_is_dropped() {
    let cluster = Cluster::start();
    let folder = cluster.folder().to_owned();
    let database = cluster.database("orphan");
    drop(cluster);
    assert!(!folder.exists());
    assert!(!database.door.ask("postgres", "SELECT 1").status.success());
}

#[test]
fn nothing_is_left_after_the_test_process_was_killed() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::tests::victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (folder, server) = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find_map(|line| {
            let (_, said) = line.split_once("cluster: ")?;
            let (server, folder) = said.split_once(' ')?;
            Some((PathBuf::from(folder), server.to_owned()))
        })
        .expect("the victim said where its cluster is");
    assert!(folder.join("data/postmaster.pid").is_file());
    victim.kill().unwrap(); // SIGKILL: no destructor, no atexit, no panic hook
    victim.wait().unwrap();
    let begun = Instant::now();
    while folder.exists() || Path::new("/proc").join(&server).join("cwd").exists() {
        assert!(
            begun.elapsed() < START_LIMIT,
            "{} is still there",
            folder.display()
        );
        sleep(Duration::from_millis(20));
    }
}

/// Does nothing unless the test above started it.
#[test]
fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let cluster = Cluster::start();
    println!("cluster: {} {}", cluster.server.id(), cluster.folder().display());
    loop {
        sleep(Duration::from_secs(3600));
    }
}
