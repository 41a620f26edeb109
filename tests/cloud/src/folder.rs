//! A sample's folder as it must be where the test images stand in for the real ones.

use std::fs;
use std::path::Path;

/// What a settings file says of one image begins so.
const TITLE: &str = "[images.\"";

/// Says in the copy of a sample that its images hold Python 3.11 and nothing else, and that no step has a real GPU.
///
/// # Panics
/// When the folder can't be changed.
pub fn for_test_images(sample: &Path) {
    let file = sample.join("dropforge.toml");
    let said = fs::read_to_string(&file).expect("a sample has settings");
    fs::write(&file, format!("{said}{}", on_cluster(&said))).expect("the copy can be changed");
    let stand_in = sample.join("standin/train_network.py");
    if stand_in.exists() {
        fs::copy(stand_in, sample.join("train_network.py")).expect("the copy can be changed");
    }
}

/// A table for each image. Where the laptop has another set of packages for want of a GPU, the cluster has it as well.
fn on_cluster(settings: &str) -> String {
    let lines: Vec<&str> = settings.lines().collect();
    let images = lines.iter().filter_map(|line| line.strip_prefix(TITLE)?.strip_suffix("\"]"));
    let packages = |image: &str| {
        let without = format!("{TITLE}{image}\".without-gpu]");
        let table = lines.iter().skip_while(|line| **line != without);
        table.take_while(|line| !line.is_empty()).find(|line| line.starts_with("requirements")).copied()
    };
    let table = |image: &str| {
        let packages = packages(image).unwrap_or_default();
        let platform = std::env::consts::ARCH;
        format!("\n{TITLE}{image}\".cluster]\npython = \"3.11\"\nplatforms = [{platform:?}]\n{packages}\n")
    };
    images.map(table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_gets_a_table_and_the_packages_of_a_machine_without_a_gpu() {
        let settings = "[images.\"a:1\"]\nrequirements = [\"x\"]\n\n[images.\"b:2\"]\nrequirements = [\"cuda\"]\n\n\
                        [images.\"b:2\".without-gpu]\npython = \"3.9\"\nrequirements = [\"cpu\"]\n\n[code]\ninclude = []\n";
        let arch = std::env::consts::ARCH;
        assert_eq!(
            on_cluster(settings),
            format!(
                "\n[images.\"a:1\".cluster]\npython = \"3.11\"\nplatforms = [{arch:?}]\n\n\
                 \n[images.\"b:2\".cluster]\npython = \"3.11\"\nplatforms = [{arch:?}]\nrequirements = [\"cpu\"]\n"
            )
        );
    }
}
