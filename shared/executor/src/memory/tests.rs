use super::*;

#[test]
fn the_places_of_both_kinds_of_groups_are_found() {
    let groups = "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/user.slice/x\n";
    let mounts = "30 20 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:4 - cgroup2 cgroup2 rw\n\
                  31 20 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                  32 20 0:28 /a /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory\n";
    let top = PathBuf::from("/sys/fs/cgroup/unified");
    let expected = Places {
        one: Some("/sys/fs/cgroup/memory/b".into()),
        two: Some((top.clone(), top.join("user.slice/x"))),
    };
    assert_eq!(Places::parse(groups, mounts), expected);
    assert_eq!(Places::parse("", ""), Places::default());
    assert_eq!(Places::parse("0::/\n", "").two, None);
}

#[test]
fn groups_are_made_where_memory_is_handed_on_and_not_beside_an_own_limit() {
    let top = tempfile::tempdir().unwrap();
    let own = top.path().join("app/session");
    fs::create_dir_all(&own).unwrap();
    let write = |file: &str, text: &str| fs::write(top.path().join(file), text).unwrap();
    write("cgroup.subtree_control", "cpu memory\n");
    write("app/cgroup.subtree_control", "memory pids\n");
    write("app/session/cgroup.subtree_control", "cpu\n");
    write("app/session/memory.max", "max\n");
    assert_eq!(distributors(top.path(), &own), [top.path().join("app"), top.path().to_path_buf()]);
    write("app/memory.max", "1000\n");
    assert_eq!(distributors(top.path(), &own), [top.path().join("app")]);
    write("app/session/memory.max", "500\n");
    assert_eq!(distributors(top.path(), &own), Vec::<PathBuf>::new());
}

#[test]
fn names_hold_nothing_that_a_folder_can_not() {
    assert_eq!(name(OsStr::new("run-1.a/../b c")), OsStr::new("dropforge-run-1.a_.._b_c"));
}
