//! The exit codes of tidegate. All else is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use tidegate::app::explain::Question;
use tidegate::app::{self, CheckOptions, Failure};
use tidegate::cli::{self, Command, ExplainArgs};
use tidegate::ctl::{self, CtlError};

/// Of sysexits(3).
const EX_USAGE: u8 = 64;
const EX_CONFIG: u8 = 78;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Gives memory back that is free for 10 s. Where the platform has no such thread, memory is given back while requests
    // come, and only then. (On musl the thread is off unless this call starts it.)
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
    let done = match cli::parse(std::env::args_os()).map(|cli| cli.command) {
        Ok(Command::Run(run)) => app::run(run.config.clone(), &run.overrides(), &run.log),
        Ok(Command::Demo(demo)) => app::demo(demo.listen, demo.ops_listen, demo.admin_listen, &demo.log),
        Ok(Command::Ctl(arguments)) => {
            return match ctl::run(&arguments) {
                Ok(()) => ExitCode::SUCCESS,
                Err(CtlError { message, code }) => {
                    let _ = writeln!(std::io::stderr(), "{message}");
                    code.into()
                }
            };
        }
        Ok(Command::Completions { shell }) => cli::completions(shell).map_err(Failure::from),
        Ok(Command::Man { directory }) => cli::manual(directory.as_deref()).map_err(Failure::from),
        Ok(Command::Check(check)) => app::check(
            &check.files(),
            &check.run.overrides(),
            CheckOptions {
                verbose: check.verbose,
                format: check.format,
                without_secrets: check.without_secrets,
            },
        ),
        Ok(Command::Schema) => app::schema(),
        Ok(Command::Explain(explain)) => {
            let ExplainArgs { method, url, headers, peer, format, run } = explain;
            let overrides = run.overrides();
            app::explain(run.config.as_deref(), &overrides, &Question { method, url, headers, peer }, format)
        }
        Ok(Command::Health(health)) => app::health(health.ops_listen, health.probe.path()),
        Err(error) => {
            // Nobody is left to tell if standard error is closed.
            let _ = error.print();
            return if error.use_stderr() { EX_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let mut stderr = std::io::stderr();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(diagnostics)) => {
            for diagnostic in diagnostics {
                let _ = writeln!(stderr, "{diagnostic}");
            }
            EX_CONFIG.into()
        }
        Err(Failure::Other(error)) => {
            let _ = writeln!(stderr, "tidegate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
