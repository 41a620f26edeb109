//! A podman of the test's own, and an image in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::bench::{Answer, Bench, Running, until};

/// The image: busybox, which says how it was started where a step names no command.
pub const IMAGE: &str = "localhost/box:1";

/// A bench whose steps podman runs.
pub struct Podman {
    pub bench: Bench,
    service: Child,
}

impl Podman {
    /// Starts podman's service; none where this machine has none that runs containers, which is told.
    pub fn start() -> Option<Podman> {
        match Podman::try_start() {
            Ok(podman) => Some(podman),
            Err(why) => {
                println!("SKIPPED: container executor ({why})");
                None
            }
        }
    }

    fn try_start() -> Result<Podman, String> {
        let bench = Bench::new();
        fs::create_dir(bench.path("podman")).unwrap();
        // A limit that the person who runs the tests may not raise keeps podman's own default from being set.
        bench.write(
            "podman/containers.conf",
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n",
        );
        import(&bench)?;
        // Some machines have podman and no right to make a container.
        succeeded(
            podman(&bench, &["run", "--rm", "--network", "host", "--entrypoint", "true", IMAGE]).output(),
        )?;
        let socket = bench.path("podman/socket");
        let address = format!("unix://{}", socket.display());
        let mut service = podman(&bench, &["system", "service", "--time", "0", &address]);
        let log = File::create(bench.path("podman/log")).unwrap();
        let service = service.stdout(Stdio::null()).stderr(log).spawn().map_err(|why| why.to_string())?;
        until("podman's socket", || std::os::unix::net::UnixStream::connect(&socket).ok());
        Ok(Podman { bench, service })
    }

    /// The command, which finds podman's socket.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bench.command(arguments);
        command.env("CONTAINER_HOST", format!("unix://{}", self.bench.path("podman/socket").display()));
        command
    }

    /// Starts the command.
    pub fn dropforge(&self, arguments: &[&str]) -> Running<'_> {
        self.bench.start_command(&mut self.command(arguments))
    }

    /// Writes the manifest and starts `run` with it under this name.
    pub fn start_run(&self, manifest: &str, name: &str) -> Running<'_> {
        let file = format!("{name}.yaml");
        self.bench.write(&file, manifest);
        self.dropforge(&["run", &file, "--name", name, "--executor", "podman"])
    }

    /// Writes the manifest and runs it under this name.
    pub fn run(&self, manifest: &str, name: &str) -> Answer {
        self.start_run(manifest, name).end()
    }

    /// The names of all containers there are, running or not.
    pub fn containers(&self) -> Vec<String> {
        let listed = podman(&self.bench, &["ps", "--all", "--format", "{{.Names}}"]).output().unwrap();
        String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = podman(&self.bench, &["rm", "--force", "--all", "--time", "0"]).output();
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

/// Podman with a store of its own, that needs nothing mounted.
fn podman(bench: &Bench, arguments: &[&str]) -> Command {
    let folder = |name: &str| bench.path("podman").join(name).into_os_string();
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", folder("containers.conf")).stdin(Stdio::null());
    command.arg("--root").arg(folder("root")).arg("--runroot").arg(folder("runroot"));
    command.arg("--tmpdir").arg(folder("tmp")).args(["--storage-driver", "vfs"]);
    if let Some(runtime) = ["runc", "crun"].into_iter().find_map(program) {
        command.arg("--runtime").arg(runtime);
    }
    command.args(arguments);
    command
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(places).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A root file system of one program under many names becomes the image.
fn import(bench: &Bench) -> Result<(), String> {
    let busybox = program("busybox").ok_or("no busybox to make an image of")?;
    let root = bench.path("podman/image");
    for folder in ["bin", "tmp", "etc"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy(&busybox, root.join("bin/busybox")).unwrap();
    for name in
        ["sh", "echo", "cat", "sleep", "true", "mkdir", "rm", "ls", "env", "head", "test", "tail", "pwd"]
    {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    fs::write(root.join("etc/of-the-image"), "brought by the image\n").unwrap();
    let tar = bench.path("podman/image.tar");
    let mut pack = Command::new("tar");
    succeeded(pack.arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").output())?;
    let changes = [
        "ENV PATH=/bin",
        "ENV OF_IMAGE=yes",
        "WORKDIR /etc",
        r#"ENTRYPOINT ["echo", "entrypoint"]"#,
        r#"CMD ["arguments"]"#,
    ];
    let mut import = vec!["import"];
    changes.iter().for_each(|change| import.extend(["--change", change]));
    import.extend([path(&tar), IMAGE]);
    succeeded(podman(bench, &import).output())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn succeeded(output: std::io::Result<Output>) -> Result<(), String> {
    let output = output.map_err(|why| format!("podman: {why}"))?;
    let why = || String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    if output.status.success() { Ok(()) } else { Err(why()) }
}
