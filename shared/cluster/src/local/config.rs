//! Config maps as folders of this machine: `<folder>/<name>/<key>`. A folder has no labels: whoever made it there meant
//! it to be read.

use std::io::ErrorKind;

use dropforge_engine::config::{ConfigFound, ConfigKey};

use crate::settings::Settings;

/// What stands in a config map's key.
///
/// # Errors
/// When that can't be told.
pub fn read(settings: &Settings, config: &ConfigKey) -> Result<ConfigFound, std::io::Error> {
    let Some(file) = settings.config_map(&config.name, &config.key) else {
        return Ok(ConfigFound::NoMap { expected: settings.config_maps.display().to_string() });
    };
    match std::fs::read(&file) {
        Ok(value) => Ok(ConfigFound::Value { value: String::from_utf8_lossy(&value).into_owned() }),
        Err(why)
            if matches!(
                why.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
            ) =>
        {
            let map = file.parent().filter(|folder| !folder.is_dir());
            Ok(match map {
                Some(folder) => ConfigFound::NoMap { expected: folder.display().to_string() },
                None => ConfigFound::NoKey { expected: file.display().to_string() },
            })
        }
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, key: &str) -> ConfigKey {
        ConfigKey { namespace: "default".to_owned(), name: name.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn a_key_is_a_file_in_the_folder_of_its_config_map_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            Settings { config_maps: folder.path().join("maps"), ..Settings::defaults(folder.path()) };
        std::fs::create_dir_all(settings.config_maps.join("limits")).unwrap();
        std::fs::write(settings.config_maps.join("limits/gpu"), "2").unwrap();
        let expected = |path: &str| settings.config_maps.join(path).display().to_string();
        let found = |name: &str, of: &str| read(&settings, &key(name, of)).unwrap();
        assert_eq!(found("limits", "gpu"), ConfigFound::Value { value: "2".to_owned() });
        assert_eq!(found("limits", "cpu"), ConfigFound::NoKey { expected: expected("limits/cpu") });
        assert_eq!(found("other", "cpu"), ConfigFound::NoMap { expected: expected("other") });
        assert_eq!(
            found("..", "limits"),
            ConfigFound::NoMap { expected: settings.config_maps.display().to_string() }
        );
    }
}
