//! `tidegate explain`: what would become of a request, as text or as JSON.

mod text;

use crate::admin::explain::ExplanationView;
pub use crate::admin::explain::Question;
use crate::cli::Format;
use crate::config::Config;

/// Returns the explanation, with a line break at its end.
pub(super) fn explained(config: &Config, question: &Question, format: Format) -> anyhow::Result<String> {
    let explanation = question.explain(&config.policy, &config.settings.bounds)?;
    Ok(match format {
        Format::Text => text::written(question, &explanation),
        Format::Json => {
            format!("{:#}\n", serde_json::to_value(ExplanationView::new(question, &explanation))?)
        }
    })
}
