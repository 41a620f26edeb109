use super::*;

fn machine(jobs: usize, cpu: u64, gpus: &[&str]) -> Machine {
    Machine {
        jobs,
        cpu_millis: cpu,
        memory_bytes: 8_000_000_000,
        gpus: gpus.iter().map(|gpu| (*gpu).to_owned()).collect(),
    }
}

fn cpu(cpu_millis: u64) -> Demand {
    Demand { cpu_millis, ..Demand::default() }
}

fn gpus(gpus: u32) -> Demand {
    Demand { gpus, ..Demand::default() }
}

fn queue(machine: Machine, steps: &[(&str, Demand)]) -> Admission {
    let mut admission = Admission::new(machine);
    for (name, demand) in steps {
        admission.enqueue((*name).into(), demand.clone(), 0).unwrap();
    }
    admission
}

fn names(admitted: &[Admitted]) -> Vec<&str> {
    admitted.iter().map(|a| a.attempt.as_str()).collect()
}

#[test]
fn no_more_steps_run_than_jobs() {
    let mut admission = queue(machine(2, 8000, &[]), &[("a", cpu(0)), ("b", cpu(0)), ("c", cpu(0))]);
    assert_eq!(names(&admission.admit()), ["a", "b"]);
    assert_eq!(names(&admission.admit()), [""; 0]);
    admission.release(&"a".into());
    assert_eq!(names(&admission.admit()), ["c"]);
}

#[test]
fn a_request_takes_no_job_and_only_sixteen_are_open() {
    let ask = Demand { request: true, ..Demand::default() };
    let mut admission = queue(machine(1, 8000, &[]), &[("a", cpu(0)), ("b", cpu(0)), ("ask", ask.clone())]);
    assert_eq!(names(&admission.admit()), ["a", "ask"]);
    (0..16).for_each(|n| admission.enqueue(AttemptId::from(format!("ask-{n}")), ask.clone(), 0).unwrap());
    assert_eq!(admission.admit().len(), 15);
    let why: Vec<String> = admission.news().iter().map(|(_, why)| why.to_string()).collect();
    assert_eq!(why, ["1 steps run already, as many as --jobs allows", "16 requests are open already"]);
    admission.release(&"ask".into());
    assert_eq!(names(&admission.admit()), ["ask-15"]);
}

#[test]
fn a_daemon_that_serves_leaves_its_job_to_those_that_need_it() {
    let mut admission =
        queue(machine(1, 4000, &[]), &[("server", cpu(3000)), ("a", cpu(0)), ("b", cpu(2000))]);
    assert_eq!(names(&admission.admit()), ["server"]);
    admission.serves(&"server".into());
    admission.serves(&"server".into());
    assert_eq!(names(&admission.admit()), ["a"]);
    admission.release(&"a".into());
    assert_eq!(names(&admission.admit()), [""; 0], "it keeps what else it asked for");
    admission.release(&"server".into());
    assert_eq!(names(&admission.admit()), ["b"]);
}

#[test]
fn requests_never_add_up_to_more_than_the_machine_has() {
    let mut admission = queue(machine(9, 4000, &[]), &[("a", cpu(3000)), ("b", cpu(2000)), ("c", cpu(1000))]);
    assert_eq!(names(&admission.admit()), ["a"], "c must not take what is kept for b");
    admission.release(&"a".into());
    assert_eq!(names(&admission.admit()), ["b", "c"]);
}

#[test]
fn a_large_step_is_not_overtaken_for_ever() {
    let mut admission = queue(machine(9, 4000, &[]), &[("small-0", cpu(1000)), ("large", cpu(4000))]);
    assert_eq!(names(&admission.admit()), ["small-0"]);
    for n in 1..5 {
        admission.enqueue(AttemptId::from(format!("small-{n}")), cpu(1000), 0).unwrap();
        assert_eq!(names(&admission.admit()), [""; 0]);
    }
    admission.release(&"small-0".into());
    assert_eq!(names(&admission.admit()), ["large"]);
}

#[test]
fn steps_without_gpu_pass_one_that_waits_for_a_gpu() {
    let steps = [("train", gpus(1)), ("tune", gpus(1)), ("clean", cpu(1000))];
    let mut admission = queue(machine(4, 4000, &["0"]), &steps);
    assert_eq!(names(&admission.admit()), ["train", "clean"]);
    let news: Vec<String> = admission.news().iter().map(|(a, why)| format!("{a}: {why}")).collect();
    assert_eq!(news, ["tune: 0 of 1 GPUs free"]);
    assert_eq!(admission.news(), [], "the same is not told twice");
}

#[test]
fn gpus_are_whole_and_held_until_released() {
    let mut admission = queue(machine(9, 8000, &["0", "1", "2"]), &[("a", gpus(2)), ("b", gpus(1))]);
    let held: Vec<Vec<String>> = admission.admit().into_iter().map(|a| a.gpus).collect();
    assert_eq!(held, [vec!["0".to_owned(), "1".to_owned()], vec!["2".to_owned()]]);
    admission.release(&"a".into());
    admission.enqueue("c".into(), gpus(1), 0).unwrap();
    assert_eq!(admission.admit()[0].gpus, ["0"]);
}

#[test]
fn what_the_machine_can_never_give_is_refused_with_both_figures() {
    let mut admission = Admission::new(machine(2, 2000, &[]));
    let refused =
        |admission: &mut Admission, demand| admission.enqueue("a".into(), demand, 0).unwrap_err().to_string();
    assert_eq!(refused(&mut admission, cpu(64_000)), "the step asks for 64 cpu, this machine has 2 cpu");
    assert_eq!(refused(&mut admission, gpus(1)), "the step asks for 1 GPUs, this machine has 0 GPUs");
    let memory = Demand { memory_bytes: 9_000_000_000, ..Demand::default() };
    assert_eq!(
        refused(&mut admission, memory),
        "the step asks for 9.0 GB of memory, this machine has 8.0 GB of memory"
    );
}

#[test]
fn a_withdrawn_step_never_starts() {
    let mut admission = queue(machine(1, 1000, &[]), &[("a", cpu(0)), ("b", cpu(0)), ("c", cpu(0))]);
    admission.admit();
    assert!(admission.withdraw(&"b".into()));
    assert!(!admission.withdraw(&"a".into()));
    admission.release(&"a".into());
    assert_eq!(names(&admission.admit()), ["c"]);
}

#[test]
fn a_higher_priority_starts_first_and_equal_ones_as_they_came() {
    let mut admission = queue(machine(1, 8000, &[]), &[("first", cpu(0))]);
    assert_eq!(names(&admission.admit()), ["first"]);
    for (name, priority) in [("low", -1), ("a", 0), ("b", 0), ("high", 7), ("higher", 9), ("c", 0)] {
        admission.enqueue(name.into(), cpu(0), priority).unwrap();
    }
    let told: Vec<String> = admission.news().into_iter().map(|(attempt, _)| attempt.to_string()).collect();
    assert_eq!(told, ["higher", "high", "a", "b", "c", "low"]);
    assert!(admission.news().is_empty());
    let mut order = Vec::new();
    let mut running: AttemptId = "first".into();
    while let Some(next) = {
        admission.release(&running);
        admission.admit().into_iter().next()
    } {
        order.push(next.attempt.to_string());
        running = next.attempt;
    }
    assert_eq!(order, ["higher", "high", "a", "b", "c", "low"]);
}

#[test]
fn who_comes_before_a_long_queue_is_told_why_it_waits_and_nobody_twice() {
    let mut admission = queue(machine(1, 8000, &[]), &[("first", cpu(0))]);
    admission.admit();
    for n in 0..100 {
        admission.enqueue(AttemptId::from(format!("low-{n}")), cpu(0), 0).unwrap();
    }
    assert_eq!(admission.news().len(), 100);
    for n in 0..70 {
        admission.enqueue(AttemptId::from(format!("high-{n}")), cpu(0), 1).unwrap();
    }
    assert_eq!(admission.news().len(), 70);
    assert!(admission.withdraw(&"high-3".into()) && !admission.withdraw(&"high-3".into()));
    assert!(admission.news().is_empty());
}
