//! Writes the tables of variables and outputs into the READMEs of `infra/`, from the code.

use std::fs;

use dropforge_infra_tests::tables::{configurations, readme};

fn main() -> std::io::Result<()> {
    for folder in configurations() {
        let (is, should) = readme(&folder);
        if is != should {
            fs::write(folder.join("README.md"), should)?;
            println!("written: {}", folder.join("README.md").display());
        }
    }
    Ok(())
}
