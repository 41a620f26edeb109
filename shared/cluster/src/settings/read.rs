//! From the text of a settings file to settings, or to everything that is wrong with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::requirements::{self, Requirements};
use super::{Code, Finding, Image, OnCluster, Pip, Place, Settings, StandIn};
use dropforge_driver::births::Site;

use crate::engines::Executor;
use crate::environments::Machine;
use crate::python::Wanted;

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

pub(super) fn settings(file: &Path, text: &str) -> Result<Settings, Vec<Finding>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut reader = Reader { file, text, defaults: Settings::defaults(folder), findings: Vec::new() };
    for error in &errors {
        reader.find(error.span().unwrap_or_default(), format!("not TOML: {}", error.message()), None);
    }
    // What was recovered from broken text would only give findings that follow from the first.
    let settings = errors.is_empty().then(|| reader.document(document.get_ref()));
    let mut findings = reader.findings;
    findings.sort_by_key(|finding| (finding.file != file, finding.place));
    settings.filter(|_| findings.is_empty()).ok_or(findings)
}

pub(super) struct Reader<'a> {
    pub(super) file: &'a Path,
    text: &'a str,
    defaults: Settings,
    pub(super) findings: Vec<Finding>,
}

impl Reader<'_> {
    fn document(&mut self, table: &DeTable) -> Settings {
        let known = [
            "images",
            "code",
            "claims",
            "secrets",
            "config-maps",
            "pip",
            "executor",
            "workflow-defaults",
            "workflow-restrictions",
            "parallelism",
            "namespace-parallelism",
        ];
        self.know(table, &known, "the settings");
        let section = |name: &str| table.get(name);
        Settings {
            file: Some(self.file.to_owned()),
            images: section("images").map(|value| self.images(value)).unwrap_or_default(),
            code: section("code").map(|value| self.code(value)).unwrap_or_default(),
            claims: section("claims").map(|value| self.claims(value)).unwrap_or_default(),
            secrets: section("secrets")
                .and_then(|value| self.folder(value, "[secrets]"))
                .unwrap_or_else(|| self.defaults.secrets.clone()),
            config_maps: section("config-maps")
                .and_then(|value| self.folder(value, "[config-maps]"))
                .unwrap_or_else(|| self.defaults.config_maps.clone()),
            pip: section("pip").map(|value| self.pip(value)).unwrap_or_default(),
            executor: section("executor").and_then(|value| self.executor(value)).unwrap_or_default(),
            site: Site {
                defaults: section("workflow-defaults").map(|v| self.workflow_defaults(v)).unwrap_or_default(),
                referencing: section("workflow-restrictions").and_then(|value| self.referencing(value)),
                days_max: None,
                parallelism: section("parallelism").and_then(|value| self.limit_of_runs(value)),
                namespace_parallelism: section("namespace-parallelism")
                    .and_then(|value| self.limit_of_runs(value)),
            },
            root: self.defaults.root.clone(),
        }
    }

    fn images(&mut self, value: &Value) -> Vec<Image> {
        let Some(table) = self.table(value, "[images]") else { return Vec::new() };
        let mut images: Vec<Image> = table
            .iter()
            .filter_map(|(name, value)| self.image(name.get_ref(), self.place(name.span()), value))
            .collect();
        images.sort_by_key(|image| image.place);
        images
    }

    fn image(&mut self, pattern: &str, place: Place, value: &Value) -> Option<Image> {
        let name = format!("[images.{pattern:?}]");
        let table = self.table(value, &name)?;
        self.know(table, &["requirements", "requirements-file", "python", "without-gpu", "cluster"], &name);
        let requirements = self.requirements(table, &name);
        let python = self.python(table);
        let without_gpu = table.get("without-gpu").and_then(|value| self.stand_in(value, pattern));
        let cluster =
            table.get("cluster").and_then(|value| self.on_cluster(value, pattern)).unwrap_or_default();
        Some(Image { pattern: pattern.to_owned(), place, requirements, python, without_gpu, cluster })
    }

    fn on_cluster(&mut self, value: &Value, pattern: &str) -> Option<OnCluster> {
        let name = format!("[images.{pattern:?}.cluster]");
        let table = self.table(value, &name)?;
        self.know(table, &["requirements", "requirements-file", "python", "platforms"], &name);
        let pythons = match table.get("python") {
            Some(value) if value.get_ref().is_array() => {
                self.strings(value).into_iter().filter_map(|(text, span)| self.version(&text, span)).collect()
            }
            _ => self.python(table).into_iter().collect(),
        };
        let platforms = table.get("platforms").map(|value| self.machines(value));
        Some(OnCluster {
            requirements: self.requirements(table, &name),
            pythons,
            platforms: platforms.unwrap_or_else(|| Machine::ALL.to_vec()),
        })
    }

    fn machines(&mut self, value: &Value) -> Vec<Machine> {
        let mut machines = Vec::new();
        for (name, span) in self.strings(value) {
            match Machine::named(&name) {
                Some(machine) => machines.push(machine),
                None => {
                    let remedy = "write \"x86_64\" or \"aarch64\"".to_owned();
                    self.find(span, format!("`{name}` is no kind of node"), Some(remedy));
                }
            }
        }
        machines
    }

    fn stand_in(&mut self, value: &Value, pattern: &str) -> Option<StandIn> {
        let name = format!("[images.{pattern:?}.without-gpu]");
        let table = self.table(value, &name)?;
        self.know(table, &["requirements", "requirements-file", "python", "code"], &name);
        let code = table.get("code").map(|value| self.globs(value)).unwrap_or_default();
        Some(StandIn { requirements: self.requirements(table, &name), python: self.python(table), code })
    }

    fn requirements(&mut self, table: &DeTable, name: &str) -> Option<Requirements> {
        let list = table.get("requirements");
        let file = table.get("requirements-file");
        if let (Some(_), Some(file)) = (list, file) {
            let reason = format!("{name} has both `requirements` and `requirements-file`");
            self.find(file.span(), reason, Some("keep one of them".to_owned()));
        }
        let lines = match (list, file) {
            (Some(list), _) => self.requirement_list(list),
            (None, Some(file)) => self.requirements_file(file)?,
            (None, None) => return None,
        };
        Some(Requirements::new(lines))
    }

    fn requirement_list(&mut self, value: &Value) -> Vec<String> {
        let lines = self.strings(value);
        for (line, span) in &lines {
            if let Some((reason, remedy)) = requirements::objection(line) {
                self.find(span.clone(), reason, Some(remedy.to_owned()));
            }
        }
        lines.into_iter().map(|(line, _)| line).collect()
    }

    fn requirements_file(&mut self, value: &Value) -> Option<Vec<String>> {
        let path = self.path(value)?;
        if !path.is_file() {
            self.find(value.span(), format!("there is no file {}", path.display()), None);
            return None;
        }
        requirements::read(&path).map_err(|findings| self.findings.extend(findings)).ok()
    }

    fn python(&mut self, table: &DeTable) -> Option<Wanted> {
        let value = table.get("python")?;
        let text = self.string(value)?;
        self.version(&text, value.span())
    }

    fn version(&mut self, text: &str, span: Range<usize>) -> Option<Wanted> {
        match text.parse::<Wanted>() {
            Ok(wanted) if wanted.major == 3 => Some(wanted),
            _ => {
                let remedy = "write the version as a string, such as \"3.11\"".to_owned();
                self.find(span, format!("`{text}` is not a version of Python 3"), Some(remedy));
                None
            }
        }
    }

    fn code(&mut self, value: &Value) -> Code {
        let Some(table) = self.table(value, "[code]") else { return Code::default() };
        self.know(table, &["include", "exclude"], "[code]");
        let include = table.get("include").map(|value| self.globs(value)).unwrap_or_default();
        let exclude = table.get("exclude").map(|value| self.globs(value)).unwrap_or_default();
        Code { include, exclude }
    }

    fn globs(&mut self, value: &Value) -> Vec<String> {
        let globs = self.strings(value);
        for (glob, span) in &globs {
            if let Err(reason) = crate::code::check_glob(glob) {
                self.find(span.clone(), format!("`{glob}` {reason}"), None);
            }
        }
        globs.into_iter().map(|(glob, _)| glob).collect()
    }

    fn claims(&mut self, value: &Value) -> BTreeMap<String, PathBuf> {
        let Some(table) = self.table(value, "[claims]") else { return BTreeMap::new() };
        table
            .iter()
            .filter_map(|(name, value)| Some((name.get_ref().to_string(), self.path(value)?)))
            .collect()
    }

    fn folder(&mut self, value: &Value, name: &str) -> Option<PathBuf> {
        let table = self.table(value, name)?;
        self.know(table, &["folder"], name);
        table.get("folder").and_then(|value| self.path(value))
    }

    fn pip(&mut self, value: &Value) -> Pip {
        let Some(table) = self.table(value, "[pip]") else { return Pip::default() };
        self.know(table, &["wheels", "offline"], "[pip]");
        let wheels = table.get("wheels").and_then(|value| self.path(value));
        let offline = table.get("offline").and_then(|value| self.boolean(value)).unwrap_or_default();
        Pip { wheels, offline }
    }

    fn executor(&mut self, value: &Value) -> Option<Executor> {
        let text = self.string(value)?;
        let found = Executor::named(&text);
        if found.is_none() {
            let remedy = "write \"process\", \"docker\" or \"podman\"".to_owned();
            self.find(value.span(), format!("`{text}` is no executor"), Some(remedy));
        }
        found
    }

    pub(super) fn know(&mut self, table: &DeTable, keys: &[&str], name: &str) {
        for key in table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())) {
            let remedy = nearest(key.get_ref(), keys).map_or_else(
                || format!("known are {}", keys.join(", ")),
                |known| format!("did you mean `{known}`?"),
            );
            self.find(key.span(), format!("`{}` is not a key of {name}", key.get_ref()), Some(remedy));
        }
    }

    pub(super) fn table<'v, 'i>(&mut self, value: &'v Value<'i>, name: &str) -> Option<&'v DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.mismatch(value, &format!("a table, {name}"));
        }
        table
    }

    pub(super) fn string(&mut self, value: &Value) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.mismatch(value, "a string");
        }
        text
    }

    fn strings(&mut self, value: &Value) -> Vec<(String, Range<usize>)> {
        let Some(array) = value.get_ref().as_array() else {
            self.mismatch(value, "a list of strings");
            return Vec::new();
        };
        array.iter().filter_map(|item| Some((self.string(item)?, item.span()))).collect()
    }

    fn boolean(&mut self, value: &Value) -> Option<bool> {
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.mismatch(value, "true or false");
        }
        truth
    }

    pub(super) fn path(&mut self, value: &Value) -> Option<PathBuf> {
        let text = self.string(value)?;
        if text.is_empty() {
            self.find(value.span(), "the path is empty".to_owned(), None);
            return None;
        }
        Some(self.defaults.root.join(text.strip_prefix("./").unwrap_or(&text)))
    }

    fn mismatch(&mut self, value: &Value, wanted: &str) {
        let reason =
            format!("here stands a value of type {}, where {wanted} belongs", value.get_ref().type_str());
        self.find(value.span(), reason, None);
    }

    pub(super) fn find(&mut self, span: Range<usize>, reason: String, remedy: Option<String>) {
        let place = self.place(span);
        self.findings.push(Finding { file: self.file.to_owned(), place, reason, remedy });
    }

    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::of(self.text, span.start)
    }
}

/// The known key that a mistyped one most likely stands for.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |candidate: &&&str| strsim::damerau_levenshtein(&key.replace('_', "-"), candidate);
    known
        .iter()
        .min_by_key(likeness)
        .filter(|candidate| likeness(candidate) <= candidate.len().div_ceil(3))
        .copied()
}
