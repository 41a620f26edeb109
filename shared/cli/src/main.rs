//! The `dropforge` command: parses the line, resolves what it names, and hands it to the driver.
//!
//! Start reading at `args` (what can be said), then `commands` (one module for each verb), `session` (the process that
//! owns a store) and `output` (standard output holds data, standard error everything else).

mod args;
mod bell;
#[cfg(feature = "aws")]
mod cloud;
mod commands;
mod contexts;
mod ends;
mod error;
mod exit;
mod filter;
mod global;
mod graph;
mod home;
mod identity;
mod lookup;
mod luggage;
mod machine;
mod metrics;
mod output;
mod overrides;
mod project;
mod session;
mod since;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, NodeCommand};
use error::CliError;
use exit::Exit;
use global::{Global, Reach};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) => {
            // Help is an answer; everything else is a mistake on the line.
            let exit = if asked.use_stderr() { Exit::Usage } else { Exit::Succeeded };
            let _ = asked.print();
            return exit.into();
        }
    };
    listen(cli.global.verbose);
    let exit = match run(&cli) {
        Ok(exit) => exit.into(),
        Err(why) => {
            if !matches!(why, CliError::BrokenPipe) {
                output::say(&format!("error: {}", why.text()));
            }
            why.exit().into()
        }
    };
    output::say_waiting();
    exit
}

fn run(cli: &Cli) -> Result<Exit, CliError> {
    let global = &Global::of(&cli.global, reaches(&cli.command))?;
    match &cli.command {
        Command::Run(args) => commands::run::run(global, args),
        Command::Submit(args) => commands::submit::submit(global, args),
        Command::Lint(args) => commands::lint::lint(global, args),
        Command::List(args) => commands::list::list(global, args),
        Command::Delete(args) => commands::delete::delete(global, args),
        Command::Apply(args) => commands::apply::apply(global, args),
        Command::Template(what) => commands::template::template(global, what, "WorkflowTemplate"),
        Command::ClusterTemplate(what) => {
            commands::template::template(global, what, "ClusterWorkflowTemplate")
        }
        Command::Get(args) => commands::get::get(global, args),
        Command::Watch(args) => commands::get::watch(global, &args.run),
        Command::Logs(args) => commands::logs::logs(global, args),
        Command::Resume(args) => commands::control::resume(global, args),
        Command::Stop(args) => commands::control::stop(global, args),
        Command::Terminate(args) => commands::control::terminate(global, args),
        Command::Suspend(args) => commands::control::suspend(global, args),
        Command::Node(NodeCommand::Set(args)) => commands::control::set_nodes(global, args),
        Command::Resubmit(args) => commands::resubmit::resubmit(global, args),
        Command::Wait(args) => commands::wait::wait(global, args),
        Command::Retry(args) => commands::retry::retry(global, args),
        Command::Cp(args) => commands::cp::cp(global, args),
        Command::Explain(args) => commands::explain::explain(global, args),
        Command::Supervisor(args) => commands::supervisor::supervisor(global, args),
        Command::Version => {
            output::text(&format!("dropforge {}\n", env!("CARGO_PKG_VERSION"))).map(|()| Exit::Succeeded)
        }
        Command::Context(what) => commands::context::context(&cli.global, what),
        Command::Completion(args) => commands::completion::completion(args),
        #[cfg(feature = "aws")]
        Command::Deploy(args) => commands::deploy::deploy(&cli.global, args),
        #[cfg(feature = "aws")]
        Command::Doctor => commands::doctor::doctor(global),
        #[cfg(feature = "aws")]
        Command::Redrive(args) => commands::redrive::redrive(global, args),
        #[cfg(not(feature = "aws"))]
        Command::Deploy(_) | Command::Doctor | Command::Redrive(_) => Err(contexts::without_aws()),
        Command::Init(args) => commands::init::init(args),
        Command::Render(args) => commands::render::render(global, args),
        Command::Graph(args) => commands::graph::graph(global, args),
        Command::Schema(args) => commands::schema::schema(args),
        Command::Dev(args) => commands::dev::dev(global, args),
        Command::Trigger(what) => commands::trigger::trigger(global, what),
        Command::Cron(what) => commands::cron::cron(global, what),
        Command::Demo(args) => commands::demo::demo(global, args),
    }
}

/// How far a verb reaches.
fn reaches(command: &Command) -> Reach {
    match command {
        Command::Context(_)
        | Command::Deploy(_)
        | Command::Supervisor(_)
        | Command::Init(_)
        | Command::Schema(_)
        | Command::Completion(_)
        | Command::Version => Reach::Nowhere,
        Command::Run(_) => Reach::Here("`submit` starts runs there"),
        Command::Dev(_) => Reach::Here("`apply` stores definitions there, and uploads start their runs"),
        Command::Demo(_) => Reach::Here("samplepipelines/ml-pipeline shows the same there"),
        _ => Reach::Anywhere,
    }
}

fn listen(verbose: u8) {
    let level = match verbose {
        // The endpoint's library tells of every refused request, a plain 404 among them.
        0 => "warn,s3s=off",
        1 => "info,s3s=error",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("DROPFORGE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_ansi(std::io::stderr().is_terminal());
    log.with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
