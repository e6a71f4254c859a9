//! The paths of a rule: one template, or several.

use super::template::Template;

/// Path templates, of which one must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths(Vec<Template>);

/// Every path.
impl Default for Paths {
    fn default() -> Self {
        Self(vec![Template::any()])
    }
}

impl From<Vec<Template>> for Paths {
    fn from(templates: Vec<Template>) -> Self {
        Self(templates)
    }
}

impl Paths {
    /// The templates.
    #[must_use]
    pub fn templates(&self) -> &[Template] {
        &self.0
    }

    /// Returns whether every path matches.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.iter().any(|template| template.is_open() && template.segments().is_empty())
    }

    /// Returns whether `path` matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0.iter().any(|template| template.matches(path))
    }

    /// Returns the values of the parameters of the first template that matches `path`.
    #[must_use]
    pub fn captures<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        self.0.iter().find_map(|template| template.captures(path))
    }

    /// Returns whether each template has a parameter of that name.
    #[must_use]
    pub fn have_param(&self, name: &str) -> bool {
        self.0.iter().all(|template| template.has_param(name))
    }

    /// Returns whether every path that matches `other` matches these too. `false` may be wrong: a template that only
    /// several of these together cover counts as not covered.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|theirs| self.0.iter().any(|mine| mine.covers(theirs)))
    }
}
