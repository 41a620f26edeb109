//! The machine's NVIDIA GPUs, as far as `CUDA_VISIBLE_DEVICES` shows them to this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::probe;

#[cfg(test)]
mod tests;

/// One GPU, or one slice of a GPU that is partitioned (MIG).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// What `CUDA_VISIBLE_DEVICES` must say for a step to get this one.
    pub id: String,
    /// The product's name, where it is known.
    pub name: String,
    /// Its memory, where it is known.
    pub memory_bytes: Option<u64>,
}

/// The GPUs in their order; none is a normal answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus(pub Vec<Gpu>);

impl Gpus {
    /// The GPUs that `machine` shows.
    pub fn find(machine: &dyn Machine) -> Self {
        let devices = devices(machine);
        match machine.visible() {
            Some(list) => Self(visible(&list, &devices)),
            None => Self(usable(&devices)),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// What is asked of a machine to find its GPUs.
pub trait Machine {
    /// What `nvidia-smi` prints when called with these arguments; nothing where it is absent or fails.
    fn nvidia_smi(&self, arguments: &[&str]) -> Option<String>;
    /// The texts of the driver's information files, one per GPU.
    fn driver_files(&self) -> Vec<String>;
    /// The value of `CUDA_VISIBLE_DEVICES`.
    fn visible(&self) -> Option<String>;
}

/// The machine this process runs on.
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn nvidia_smi(&self, arguments: &[&str]) -> Option<String> {
        probe::ask(Command::new("nvidia-smi").args(arguments))
    }

    fn driver_files(&self) -> Vec<String> {
        let folders =
            std::fs::read_dir(Path::new("/proc/driver/nvidia/gpus")).into_iter().flatten().flatten();
        let mut paths: Vec<_> = folders.map(|folder| folder.path().join("information")).collect();
        paths.sort();
        paths.into_iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }

    fn visible(&self) -> Option<String> {
        std::env::var("CUDA_VISIBLE_DEVICES").ok()
    }
}

/// A GPU with the slices it is cut into.
struct Device {
    whole: Gpu,
    slices: Vec<Gpu>,
}

fn devices(machine: &dyn Machine) -> Vec<Device> {
    if let Some(list) = machine.nvidia_smi(&["-L"]) {
        let query = ["--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"];
        return listed(&list, &memories(&machine.nvidia_smi(&query).unwrap_or_default()));
    }
    machine.driver_files().iter().filter_map(|text| described(text)).collect()
}

/// Reads `nvidia-smi -L`: `GPU 0: NVIDIA A100 (UUID: GPU-…)`, and below a partitioned one its slices,
/// `  MIG 1g.5gb Device 0: (UUID: MIG-…)`.
fn listed(text: &str, memories: &BTreeMap<String, u64>) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    for line in text.lines() {
        let Some((label, id)) =
            line.trim().split_once("(UUID: ").map(|(label, id)| (label.trim(), id.trim_end_matches(')')))
        else {
            continue;
        };
        let gpu = |name: &str| Gpu {
            id: id.to_owned(),
            name: name.to_owned(),
            memory_bytes: memories.get(id).copied(),
        };
        if label.starts_with("GPU ") {
            let name = label.split_once(':').map_or(label, |(_, name)| name.trim());
            devices.push(Device { whole: gpu(name), slices: Vec::new() });
        } else if let Some(device) = devices.last_mut().filter(|_| label.starts_with("MIG ")) {
            let slice = format!("{} {}", device.whole.name, label.trim_end_matches(':'));
            device.slices.push(gpu(&slice));
        }
    }
    devices
}

fn memories(csv: &str) -> BTreeMap<String, u64> {
    let row = |line: &str| {
        let (id, mebibytes) = line.split_once(',')?;
        Some((id.trim().to_owned(), mebibytes.trim().parse::<u64>().ok()? * 1024 * 1024))
    };
    csv.lines().filter_map(row).collect()
}

/// Reads a driver's information file, lines such as `GPU UUID: GPU-…`.
fn described(text: &str) -> Option<Device> {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let name = field("Model").unwrap_or_default();
    // A driver that does not tell UUIDs to this user prints question marks.
    let id = field("GPU UUID").filter(|id| !id.contains('?'))?;
    Some(Device { whole: Gpu { id, name, memory_bytes: None }, slices: Vec::new() })
}

fn usable(devices: &[Device]) -> Vec<Gpu> {
    // CUDA cannot use a partitioned GPU as a whole.
    devices
        .iter()
        .flat_map(
            |device| {
                if device.slices.is_empty() { std::slice::from_ref(&device.whole) } else { &device.slices }
            },
        )
        .cloned()
        .collect()
}

/// The GPUs that a given `CUDA_VISIBLE_DEVICES` shows. Each keeps the person's word for it: CUDA numbers GPUs in an
/// order of its own, so that a number must be handed on as it is. As in CUDA, what follows an unknown one is
/// hidden.
fn visible(list: &str, devices: &[Device]) -> Vec<Gpu> {
    let named = |word: &str| {
        let all = || devices.iter().flat_map(|device| std::iter::once(&device.whole).chain(&device.slices));
        let gpu = match word.parse::<usize>() {
            Ok(number) => devices.get(number).map(|device| device.slices.first().unwrap_or(&device.whole)),
            Err(_) => all().find(|gpu| !word.is_empty() && gpu.id.starts_with(word)),
        };
        gpu.map(|gpu| Gpu { id: word.to_owned(), ..gpu.clone() })
    };
    list.split(',').map(|word| named(word.trim())).take_while(Option::is_some).flatten().collect()
}
