//! Logs: a JSON object a line, which CloudWatch takes apart.

use tracing_subscriber::EnvFilter;

/// What is told where `RUST_LOG` does not say.
const TOLD: &str = "info,aws_config=warn,aws_smithy_runtime=warn,hyper=warn,kube_client=warn,tower=warn";

/// Begins to write what is told to standard output. CloudWatch adds the time.
pub fn begin() {
    let told = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(TOLD));
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true);
    // Only the first of a process counts; tests have their own.
    let _ = lines.with_span_list(false).without_time().with_env_filter(told).try_init();
}
