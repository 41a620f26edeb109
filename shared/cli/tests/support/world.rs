//! A workflow with something of everything, and what it must have come to whatever happened meanwhile.

use std::collections::BTreeMap;

use crate::bench::Bench;

/// The run's name.
pub const NAME: &str = "world";

/// Its steps append their names to `box/done`, and to `box/clashes` where they meet themselves. What they write in the store
/// waits for room there: who ignores a full disk leaves an empty file and ends well.
pub const WORLD: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: world-}
spec:
  entrypoint: main
  onExit: bye
  volumes: [{name: box, persistentVolumeClaim: {claimName: box}}]
  templates:
  - name: main
    dag:
      tasks:
      - {name: make, template: make}
      - name: part
        template: part
        depends: make
        arguments: {parameters: [{name: n, value: "{{item}}"}]}
        withSequence: {start: "1", end: "4"}
      - {name: flaky, template: flaky}
      - {name: never, template: bye, when: "1 == 2"}
      - name: read
        template: read
        depends: part && flaky.Succeeded && never.Skipped
        arguments:
          parameters: [{name: parts, value: "{{tasks.part.outputs.result}}"}]
          artifacts: [{name: data, from: "{{tasks.make.outputs.artifacts.data}}"}]
  - name: make
    script:
      image: busybox
      command: [sh]
      source: |
        exec 9> /box/lock-make; flock -n 9 || echo make >> /box/clashes
        until echo forty-one > /tmp/data; do sleep 0.1; done; echo make >> /box/done
      volumeMounts: [{name: box, mountPath: /box}]
    outputs: {artifacts: [{name: data, path: /tmp/data}]}
  - name: part
    inputs: {parameters: [{name: n}]}
    script:
      image: busybox
      command: [sh]
      source: |
        exec 9> /box/lock-part-{{inputs.parameters.n}}; flock -n 9 || echo part >> /box/clashes
        echo part-{{inputs.parameters.n}} >> /box/done
        echo $(({{inputs.parameters.n}} * {{inputs.parameters.n}}))
      volumeMounts: [{name: box, mountPath: /box}]
  - name: flaky
    retryStrategy: {limit: 2, backoff: {duration: "1"}}
    script:
      image: busybox
      command: [sh]
      source: |
        exec 9> /box/lock-flaky; flock -n 9 || echo flaky >> /box/clashes
        echo flaky-{{retries}} >> /box/done; test {{retries}} -gt 0
      volumeMounts: [{name: box, mountPath: /box}]
  - name: read
    inputs: {parameters: [{name: parts}], artifacts: [{name: data, path: /tmp/data}]}
    script:
      image: busybox
      command: [sh]
      source: |
        exec 9> /box/lock-read; flock -n 9 || echo read >> /box/clashes
        echo "read $(cat /tmp/data) $(echo '{{inputs.parameters.parts}}' | tr -d '"')" >> /box/done
      volumeMounts: [{name: box, mountPath: /box}]
  - name: bye
    script:
      image: busybox
      command: [sh]
      source: echo bye {{workflow.status}} >> /box/done
      volumeMounts: [{name: box, mountPath: /box}]
"#;

/// What the steps do, sorted.
pub const DONE: [&str; 9] = [
    "bye Succeeded",
    "flaky-0",
    "flaky-1",
    "make",
    "part-1",
    "part-2",
    "part-3",
    "part-4",
    "read forty-one [1,4,9,16]",
];

/// The run where nothing goes wrong.
pub struct World {
    phases: Vec<(String, String)>,
}

impl World {
    /// Runs it.
    pub fn undisturbed() -> World {
        let bench = Bench::new();
        bench.run(WORLD, NAME).exits(0);
        let world = World { phases: bench.phases(NAME) };
        world.check(&bench, true, "undisturbed");
        world
    }

    /// Checks that its nodes ended as they do undisturbed.
    #[track_caller]
    pub fn check_phases(&self, bench: &Bench, what: &str) {
        assert_eq!(bench.phases(NAME), self.phases, "{what}");
    }

    /// Checks a run that is over; what a killed supervisor's step did may be done again where its attempt is lost.
    #[track_caller]
    pub fn check(&self, bench: &Bench, exactly: bool, what: &str) {
        assert_eq!(bench.phases(NAME), self.phases, "{what}");
        assert_eq!(bench.lines("clashes"), Vec::<String>::new(), "{what}");
        let mut done: BTreeMap<String, usize> = BTreeMap::new();
        bench.lines("done").into_iter().for_each(|line| *done.entry(line).or_default() += 1);
        assert!(done.keys().eq(DONE), "{what}: {done:?}");
        let again: usize = done.values().map(|times| times - 1).sum();
        let records = bench.explain(NAME)["records"].to_string();
        let lost = records.matches("\"outcome\":\"Lost\"").count();
        assert!(again <= if exactly { 0 } else { lost }, "{what}: {done:?}, {lost} lost");
    }
}
