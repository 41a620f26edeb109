use super::*;

#[derive(Default)]
struct Fake {
    list: Option<&'static str>,
    memory: Option<&'static str>,
    files: Vec<&'static str>,
    visible: Option<&'static str>,
}

impl Machine for Fake {
    fn nvidia_smi(&self, arguments: &[&str]) -> Option<String> {
        let answer = if arguments == ["-L"] { self.list } else { self.memory };
        answer.map(str::to_owned)
    }

    fn driver_files(&self) -> Vec<String> {
        self.files.iter().map(|text| (*text).to_owned()).collect()
    }

    fn visible(&self) -> Option<String> {
        self.visible.map(str::to_owned)
    }
}

const TWO: &str =
    "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaa)\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbb)\n";
const SLICED: &str = "GPU 0: NVIDIA A100 (UUID: GPU-aaa)\n  MIG 1g.5gb      Device  0: (UUID: MIG-111)\n  MIG 1g.5gb      Device  1: (UUID: MIG-222)\nGPU 1: NVIDIA A100 (UUID: GPU-bbb)\n";

fn ids(machine: &Fake) -> Vec<String> {
    Gpus::find(machine).0.into_iter().map(|gpu| gpu.id).collect()
}

#[test]
fn nvidia_smi_gives_id_name_and_memory() {
    let machine =
        Fake { list: Some(TWO), memory: Some("GPU-aaa, 81559\nGPU-bbb, [N/A]\n"), ..Fake::default() };
    let gpu = |id: &str, memory_bytes| Gpu {
        id: id.to_owned(),
        name: "NVIDIA H100 80GB HBM3".to_owned(),
        memory_bytes,
    };
    assert_eq!(
        Gpus::find(&machine),
        Gpus(vec![gpu("GPU-aaa", Some(81559 * 1024 * 1024)), gpu("GPU-bbb", None)])
    );
}

#[test]
fn a_machine_without_nvidia_smi_is_known_by_the_drivers_files() {
    let file = "Model: \t\t NVIDIA T4\nIRQ:   \t\t 24\nGPU UUID: \t GPU-ccc\nBus Location: \t 0000:00:1e.0\n";
    let machine = Fake { files: vec![file, "GPU UUID: GPU-????????"], ..Fake::default() };
    let expected = Gpu { id: "GPU-ccc".to_owned(), name: "NVIDIA T4".to_owned(), memory_bytes: None };
    assert_eq!(Gpus::find(&machine), Gpus(vec![expected]));
}

#[test]
fn no_gpu_is_a_normal_answer() {
    assert_eq!(Gpus::find(&Fake::default()), Gpus::default());
    assert_eq!(Gpus::find(&Fake { visible: Some("0"), ..Fake::default() }), Gpus::default());
}

#[test]
fn slices_stand_for_the_gpu_they_are_cut_from() {
    assert_eq!(ids(&Fake { list: Some(SLICED), ..Fake::default() }), ["MIG-111", "MIG-222", "GPU-bbb"]);
}

#[test]
fn the_persons_visible_devices_are_kept_in_the_persons_words() {
    let shown = |list| ids(&Fake { list: Some(TWO), visible: Some(list), ..Fake::default() });
    assert_eq!(shown("1"), ["1"]);
    assert_eq!(shown("1, 0"), ["1", "0"]);
    assert_eq!(shown("GPU-b"), ["GPU-b"]);
    assert_eq!(shown("0,7,1"), ["0"], "what follows an unknown one is hidden");
    assert_eq!(shown(""), [""; 0]);
    assert_eq!(shown("-1"), [""; 0]);
}
