//! Values of config maps: what waits for them, and what comes of them.

use super::*;
use crate::config::ConfigFound;

fn found(value: &str) -> ConfigFound {
    ConfigFound::Value { value: value.to_owned() }
}

fn no_map() -> ConfigFound {
    ConfigFound::NoMap { expected: String::new() }
}

impl World {
    /// Answers the config values asked for, oldest first.
    fn tell(&mut self, answer: impl Fn(&ConfigKey) -> ConfigFound) {
        for config in std::mem::take(&mut self.configs) {
            let found = answer(&config);
            self.event(Event::ConfigRead { config, found });
        }
    }

    fn configs(&self) -> Vec<String> {
        self.configs.iter().map(ToString::to_string).collect()
    }

    fn input(&self, node: &str, name: &str) -> String {
        let view = View::fold(self.state.program.clone(), &self.records);
        let node = view.nodes.values().find(|n| n.name == format!("wf{node}")).expect("the node is there");
        let input = node.inputs.parameters.iter().find(|p| p.name == name).expect("the input is there");
        input.value.clone().expect("it has a value").0
    }
}

const LEAF: &str = "  - name: leaf
    inputs: {parameters: [{name: m, valueFrom: {default: stand-in, configMapKeyRef: {name: maps, key: '{{workflow.name}}-key'}}}]}
    container: {image: busybox, args: ['{{inputs.parameters.m}}']}";

#[test]
fn an_input_waits_for_its_config_map_and_a_second_call_finds_it_known() {
    let mut w = world(&format!(
        "  entrypoint: main
  templates:
  - name: main
    steps:
    - - {{name: a, template: leaf}}
      - {{name: b, template: leaf, arguments: {{parameters: [{{name: m, value: own}}]}}}}
    - - {{name: c, template: leaf, withItems: [1, 2]}}
{LEAF}"
    ));
    assert_eq!((w.configs(), w.live()), (vec!["default/maps/wf-key".to_owned()], Vec::<String>::new()));
    assert_eq!(w.waiting(), ["wf[0]: waits for the value of a config map"]);
    w.tell(|_| found("hello"));
    assert_eq!(w.live(), ["wf[0].a", "wf[0].b"]);
    assert_eq!((w.input("[0].a", "m"), w.input("[0].b", "m")), ("hello".to_owned(), "own".to_owned()));
    w.succeed("wf[0].a");
    w.succeed("wf[0].b");
    assert_eq!((w.configs.len(), w.live().len()), (0, 2));
    assert_eq!(w.input("[1].c(1:2)", "m"), "hello");
}

#[test]
fn a_default_stands_in_for_a_missing_config_map_and_not_for_one_of_another_kind() {
    let spec = format!("  entrypoint: leaf\n  templates:\n{LEAF}");
    let mut w = world(&spec);
    w.tell(|_| no_map());
    assert_eq!(w.input("", "m"), "stand-in");
    let mut w = world(&spec);
    w.tell(|_| ConfigFound::NotParameters);
    let why = "unable to retrieve inputs.parameters.m from ConfigMap: ConfigMap 'maps' needs to have the label workflows.argoproj.io/configmap-type: Parameter to load parameters";
    assert_eq!(w.ended(), Some((RunPhase::Error, format!("error in entry template execution: {why}"))));
}

const ARGUMENT: &str = "  entrypoint: main
  arguments: {parameters: [{name: m, valueFrom: {configMapKeyRef: {name: maps, key: msg}}}]}
  templates:
  - name: main
    inputs: {parameters: [{name: m}]}
    container: {image: busybox, args: ['{{workflow.parameters.m}}']}";

#[test]
fn a_run_begins_once_its_arguments_are_known() {
    let mut w = world(ARGUMENT);
    assert_eq!((w.configs(), w.state.phase), (vec!["default/maps/msg".to_owned()], RunPhase::Pending));
    assert_eq!(w.try_event(Event::Submitted), Err(Rejected::AlreadySubmitted));
    w.tell(|_| found("hello"));
    assert_eq!((w.state.phase, w.input("", "m")), (RunPhase::Running, "hello".to_owned()));
    assert_eq!(
        w.attempt("wf").work.template.container.as_ref().unwrap().args.clone(),
        Some(vec!["hello".to_owned()])
    );
}

#[test]
fn a_run_whose_argument_is_missing_fails_before_it_begins_and_names_it() {
    let mut w = world(ARGUMENT);
    w.tell(|_| ConfigFound::NoKey { expected: "maps/msg".to_owned() });
    let why = "failed to set global parameters: failed to set global parameter m from configmap with name maps and key msg: ConfigMap 'maps' does not have the key 'msg' (expected in maps/msg)";
    assert_eq!(w.ended(), Some((RunPhase::Failed, why.to_owned())));
    assert!(w.started.is_empty());
}

#[test]
fn an_exit_handler_waits_for_its_config_map_and_the_step_after_it_too() {
    let mut w = world(&format!(
        "  entrypoint: main
  onExit: leaf
  templates:
  - name: main
    steps:
    - - {{name: a, template: plain, hooks: {{exit: {{template: leaf}}}}}}
    - - {{name: b, template: plain}}
  - name: plain
    container: {{image: busybox}}
{LEAF}"
    ));
    w.succeed("wf[0].a");
    assert_eq!((w.live(), w.configs.len()), (Vec::<String>::new(), 1));
    assert_eq!(w.waiting(), ["wf[0].a: waits for the value of a config map"]);
    w.tell(|_| found("hello"));
    assert_eq!(w.live(), ["wf[0].a.onExit"]);
    w.succeed("wf[0].a.onExit");
    w.succeed("wf[1].b");
    w.succeed("wf.onExit");
    assert_eq!(w.ended(), Some((RunPhase::Succeeded, String::new())));
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let mut w = world(ARGUMENT);
    let config = w.configs[0].clone();
    w.tell(|_| found("hello"));
    let again = Event::ConfigRead { config: config.clone(), found: found("other") };
    assert_eq!(w.try_event(again), Err(Rejected::Answered { effect: EffectKey::Config(config) }));
}
