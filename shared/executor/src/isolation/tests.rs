use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::process::tests::{Trial, everywhere};
use crate::process::{Exit, SpawnError};

fn folders(trial: &Trial, names: &[&str]) {
    for name in names {
        fs::create_dir_all(trial.at.path().join(name)).unwrap();
    }
}

/// The namespaces to try: the machine's, and as on a kernel that can't make a tree read-only at once.
fn namespaces(isolation: &Isolation) -> Vec<Isolation> {
    match isolation {
        Isolation::MountNamespace(namespace) => [true, false]
            .map(|recursive_attributes| {
                Isolation::MountNamespace(Namespace { recursive_attributes, ..*namespace })
            })
            .into(),
        Isolation::Rewrite { reason } => {
            println!("SKIPPED: no mount namespace here: {reason}");
            Vec::new()
        }
        Isolation::Container => Vec::new(),
    }
}

#[test]
fn a_step_finds_its_paths_and_the_host_is_not_touched() {
    everywhere("isolation::tests::a_step_finds_its_paths_and_the_host_is_not_touched", |isolation| {
        for isolation in namespaces(isolation) {
            let trial =
                Trial::new().bind("data", "/mnt/data", false).bind("file", "/dropforge-x/in.csv", true);
            folders(&trial, &["data"]);
            fs::write(trial.at.path().join("data/in"), "1\n").unwrap();
            fs::write(trial.at.path().join("file"), "2\n").unwrap();
            let script = "cat /mnt/data/in /dropforge-x/in.csv; echo 3 > /mnt/data/out; echo 4 > /tmp/df-mine; \
                echo 5 > /df-top; mkdir -p /mnt/y /var/tmp/df /run/df && ls /tmp /mnt | tr '\\n' ' '";
            let (exit, output) = trial.sh(script, &isolation);
            assert_eq!(
                (exit, output.as_str()),
                (Exit::Code(0), "1\n2\n/mnt: data y  /tmp: df-mine "),
                "{output}"
            );
            let read = |path: &str| fs::read_to_string(trial.at.path().join(path)).unwrap();
            assert_eq!(read("data/out"), "3\n");
            assert_eq!(read("scratch/root/tmp/df-mine"), "4\n");
            assert_eq!(read("scratch/root/df-top"), "5\n");
            for path in ["/dropforge-x", "/df-top", "/tmp/df-mine", "/mnt/y", "/var/tmp/df", "/run/df"] {
                assert!(!Path::new(path).exists(), "{path}");
            }
        }
    });
}

#[test]
fn host_folders_and_read_only_binds_can_not_be_written_even_by_root() {
    everywhere(
        "isolation::tests::host_folders_and_read_only_binds_can_not_be_written_even_by_root",
        |isolation| {
            for isolation in namespaces(isolation) {
                let trial = Trial::new().bind("in", "/mnt/in", true).bind("in/a", "/mnt/a", true);
                folders(&trial, &["in"]);
                fs::write(trial.at.path().join("in/a"), "kept").unwrap();
                let script = "for f in /usr/df /etc/df /mnt/in/df /home/df; do touch $f && echo wrote $f; done 2>/dev/null; \
                echo x 2>/dev/null > /mnt/in/a; echo x 2>/dev/null > /mnt/a; \
                mount -o remount,bind,rw /mnt/in 2>/dev/null && echo remounted; \
                umount /mnt/in 2>/dev/null && echo unmounted; cat /mnt/a /mnt/in/a";
                let (_, output) = trial.sh(script, &isolation);
                assert_eq!(output, "keptkept");
            }
        },
    );
}

#[test]
fn paths_within_host_folders_show_the_host_beside_them() {
    everywhere("isolation::tests::paths_within_host_folders_show_the_host_beside_them", |isolation| {
        for isolation in namespaces(isolation) {
            let mut trial = Trial::new()
                .bind("a", "/usr/local/df/data", false)
                .bind("a", "/var/df-data", false)
                .bind("file", "/etc/df.conf", true)
                .bind("file", "/etc/passwd", true)
                .bind("b", "/usr/share", false);
            trial.layout.writable = vec!["/usr/local/df-out".into(), "/var/tmp/df-here".into()];
            folders(&trial, &["a", "b"]);
            fs::write(trial.at.path().join("file"), "f\n").unwrap();
            fs::write(trial.at.path().join("b/only"), "").unwrap();
            let script = "cat /etc/df.conf /etc/passwd; test -s /etc/group && test -d /usr/local/bin && test -x /usr/bin/env && \
                test -d /var/lib && echo there; ls /usr/share; echo 1 > /usr/local/df/data/x; echo 2 > /var/df-data/y; \
                echo 3 > /usr/local/df-out/z; echo 4 > /var/tmp/df-here/w; touch /usr/bin/df-x 2>/dev/null && echo wrote";
            let (_, output) = trial.sh(script, &isolation);
            assert_eq!(output, "f\nf\nthere\nonly\n");
            let read = |path: &str| fs::read_to_string(trial.at.path().join(path)).unwrap();
            assert_eq!((read("a/x"), read("a/y")), ("1\n".into(), "2\n".into()));
            assert_eq!(read("scratch/root/usr/local/df-out/z"), "3\n");
            assert_eq!(read("scratch/root/var/tmp/df-here/w"), "4\n");
            for path in
                ["/usr/local/df", "/usr/local/df-out", "/var/df-data", "/etc/df.conf", "/var/tmp/df-here"]
            {
                assert!(!Path::new(path).exists(), "{path}");
            }
        }
    });
}

#[test]
fn binds_lie_within_each_other() {
    everywhere("isolation::tests::binds_lie_within_each_other", |isolation| {
        for isolation in namespaces(isolation) {
            // Given in an order in which the outer would hide the inner.
            let trial = Trial::new()
                .bind("inner", "/mnt/outer/made/inner", false)
                .bind("outer", "/mnt/outer", false)
                .bind("shm", "/dev/shm", false);
            folders(&trial, &["inner", "outer", "shm"]);
            fs::write(trial.at.path().join("outer/o"), "").unwrap();
            fs::write(trial.at.path().join("inner/i"), "").unwrap();
            let script = "echo /mnt/outer/* /mnt/outer/made/inner/*; touch /dev/shm/df-x";
            let (_, output) = trial.sh(script, &isolation);
            assert_eq!(output, "/mnt/outer/made /mnt/outer/o /mnt/outer/made/inner/i\n");
            assert!(trial.at.path().join("shm/df-x").exists());
            assert!(!Path::new("/dev/shm/df-x").exists());
        }
    });
}

#[test]
fn the_attempts_own_folder_can_be_seen_where_it_is() {
    everywhere("isolation::tests::the_attempts_own_folder_can_be_seen_where_it_is", |isolation| {
        for isolation in namespaces(isolation) {
            let trial = Trial::new();
            let own = trial.at.path().to_str().unwrap().to_owned();
            let mut trial = trial.bind("", &own, false);
            folders(&trial, &["work"]);
            trial.working_dir = trial.at.path().join("work");
            let (_, output) = trial.sh("pwd; echo 1 > out; ls ../scratch/root | wc -l", &isolation);
            let first = format!("{own}/work\n");
            assert!(output.starts_with(&first), "{output}");
            assert_eq!(fs::read_to_string(trial.at.path().join("work/out")).unwrap(), "1\n");
        }
    });
}

#[test]
fn a_missing_working_directory_is_made() {
    everywhere("isolation::tests::a_missing_working_directory_is_made", |isolation| {
        for isolation in namespaces(isolation) {
            let mut trial = Trial::new().bind("data", "/mnt/data", false);
            folders(&trial, &["data"]);
            for folder in ["/df-app/src", "/tmp/df-w", "/mnt/data/w", "/usr"] {
                trial.working_dir = folder.into();
                assert_eq!(trial.sh("pwd", &isolation).1, format!("{folder}\n"));
            }
            assert!(trial.at.path().join("data/w").is_dir());
            assert!(!Path::new("/df-app").exists());
        }
    });
}

#[test]
fn places_that_can_not_be_made_are_refused() {
    for isolation in namespaces(isolation()) {
        let refused = |binds: &[(&str, bool)]| {
            let trial = binds.iter().fold(Trial::new(), |trial, (target, ro)| trial.bind("d", target, *ro));
            folders(&trial, &["d"]);
            let Err(SpawnError::Layout(error)) = trial.start(&["true"], &isolation) else {
                panic!("{binds:?}")
            };
            error
        };
        let system = |target: &str| format!("nothing can be mounted on {target}: it belongs to the system");
        for target in ["/", "/proc", "/proc/df", "/dev/df", "/sys/df"] {
            assert_eq!(refused(&[(target, false)]).to_string(), system(target));
        }
        assert!(matches!(refused(&[("mnt/x", false)]), LayoutError::BadPath { .. }));
        assert!(matches!(refused(&[("/mnt/../x", false)]), LayoutError::BadPath { .. }));
        let (target, bind) = (PathBuf::from("/mnt/a/b"), PathBuf::from("/mnt/a"));
        let LayoutError::InReadOnly { target: t, bind: b } =
            refused(&[("/mnt/a", true), ("/mnt/a/b", false)])
        else {
            panic!()
        };
        assert_eq!((t, b), (target, bind));
    }
}

#[test]
fn the_isolation_found_is_the_one_that_the_setting_allows() {
    everywhere("isolation::tests::the_isolation_found_is_the_one_that_the_setting_allows", |isolation| {
        let setting = std::env::var("DROPFORGE_TEST_SETTING").unwrap_or_default();
        match (setting.as_str(), isolation) {
            ("refused", Isolation::MountNamespace(_)) => panic!("{isolation:?}"),
            ("refused", Isolation::Rewrite { reason }) => {
                assert!(reason.starts_with("make a user and mount namespace: "), "{reason}");
            }
            ("unprivileged", Isolation::MountNamespace(namespace)) => assert!(namespace.user_namespace),
            _ => {}
        }
    });
}
