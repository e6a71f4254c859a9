//! Path templates: `/api/v1/tasks/{id}`, `/files/*`.

use std::fmt;

use super::path::{self, Backslashes, EmptySegments, PathPolicy};

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Matches itself, in canonical form.
    Literal(Box<str>),
    /// Matches any one segment that is not empty, and names it.
    Param(Box<str>),
}

/// A path template. A slash at the end, of the template or the path, makes no difference: most applications
/// serve both as one resource, and a spelling must not escape its rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
    /// Ends in `*`: what follows the segments, if anything, matches too.
    open: bool,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No leading slash.
    #[error("a path starts with '/'")]
    NoSlash,
    /// A query, fragment or path parameter, or a character that no path can hold.
    #[error("'{}' cannot be part of a path", .0.escape_default())]
    Character(char),
    /// `/./`, `/../`, or `//` where requests' are merged.
    #[error("a request's path never has the segment '{0}': it is canonical before it is matched")]
    NeverMatches(String),
    /// A `*` elsewhere than alone at the end.
    #[error("'*' stands alone, as the last segment: '/files/*'")]
    Star,
    /// Braces that do not enclose a whole segment.
    #[error("a parameter is a whole segment, with a name of letters, digits and '_': '/tasks/{{id}}'")]
    Param,
    /// More than [`Template::MAX_SEGMENTS`]: the tree of rules is as deep as its deepest path.
    #[error("a path has at most 64 segments")]
    Deep,
    /// One name for two parameters.
    #[error("the parameter '{0}' stands twice")]
    Twice(String),
    /// A percent sign without two hexadecimal digits, or an escape that requests are refused for.
    #[error("the segment '{0}' holds an escape that no accepted request can have")]
    Escape(String),
    /// An encoded slash in one segment and a backslash in another: requests with both are refused.
    #[error("a request's path never has both '%2F' and '%5C'")]
    MixedSeparators,
    /// What the path policy makes a slash.
    #[error("'{0}' holds what is a slash by the section path: write '/' for it")]
    Separator(String),
}

impl Template {
    /// The most segments of a template.
    pub const MAX_SEGMENTS: usize = 64;

    /// The template that matches every path.
    #[must_use]
    pub fn any() -> Self {
        Self { segments: Vec::new(), open: true }
    }

    /// Reads a template, in the same way as requests' paths are read.
    ///
    /// # Errors
    /// When it could not match any request as written.
    pub fn parse(text: &str, policy: &PathPolicy) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        let bad = |c: &char| match c {
            '\\' => policy.backslashes == Backslashes::Reject,
            _ => matches!(c, '?' | '#' | ';') || c.is_control(),
        };
        if let Some(bad) = rest.chars().find(bad) {
            return Err(TemplateError::Character(bad));
        }
        let mut parts: Vec<&str> = rest.split('/').collect();
        if parts.last() == Some(&"") {
            parts.pop();
        }
        let open = parts.last() == Some(&"*");
        if open {
            parts.pop();
        }
        if parts.len() > Self::MAX_SEGMENTS {
            return Err(TemplateError::Deep);
        }
        let mut segments: Vec<Segment> = Vec::with_capacity(parts.len());
        for part in parts {
            let segment = match part {
                // Only at the start it is refused: see `path`.
                "" if policy.empty_segments == EmptySegments::Keep && !segments.is_empty() => {
                    Segment::Literal(part.into())
                }
                _ => Self::segment(part, policy)?,
            };
            match &segment {
                Segment::Param(name) if segments.contains(&segment) => {
                    return Err(TemplateError::Twice(name.to_string()));
                }
                _ => segments.push(segment),
            }
        }
        // Each segment was read by itself.
        match path::canonical(&literals(&segments), policy) {
            Err(path::Ambiguous::MixedSeparators) => Err(TemplateError::MixedSeparators),
            _ => Ok(Self { segments, open }),
        }
    }

    fn segment(part: &str, policy: &PathPolicy) -> Result<Segment, TemplateError> {
        if matches!(part, "" | "." | "..") {
            return Err(TemplateError::NeverMatches(part.to_owned()));
        }
        if part.contains('*') {
            return Err(TemplateError::Star);
        }
        if part.contains(['{', '}']) {
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            let name = name.filter(|name| !name.is_empty());
            let name = name.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            return name.map(|name| Segment::Param(name.into())).ok_or(TemplateError::Param);
        }
        let rooted = format!("/{part}");
        let canonical =
            path::canonical(&rooted, policy).map_err(|_| TemplateError::Escape(part.to_owned()))?;
        match path::matched(&canonical, policy).trim_start_matches('/') {
            // An escaped dot.
            "" => Err(TemplateError::NeverMatches(part.to_owned())),
            several if several.contains('/') => Err(TemplateError::Separator(part.to_owned())),
            literal => Ok(Segment::Literal(literal.into())),
        }
    }

    /// The segments, without the open end.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `*`.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether it has a parameter of that name.
    #[must_use]
    pub fn has_param(&self, name: &str) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Param(param) if **param == *name))
    }

    /// The values of the parameters, in order, if `path` matches.
    #[must_use]
    pub fn captures<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut captures = Vec::new();
        self.walk(path, |name, part| captures.push((name, part))).then_some(captures)
    }

    /// Whether `path` matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.walk(path, |_, _| ())
    }

    /// Returns whether `path` matches, and calls `capture` with each parameter up to the segment that does not.
    fn walk<'a>(&'a self, path: &'a str, mut capture: impl FnMut(&'a str, &'a str)) -> bool {
        let mut parts = split(path);
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::Literal(literal), Some(part)) if **literal == *part => {}
                (Segment::Param(name), Some(part)) if !part.is_empty() => capture(name, part),
                _ => return false,
            }
        }
        self.open || parts.next().is_none()
    }

    /// Whether every path that matches `other` matches this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let covered = self.segments.iter().zip(&other.segments).all(|pair| match pair {
            (Segment::Param(_), _) => true,
            (Segment::Literal(mine), Segment::Literal(theirs)) => mine == theirs,
            (Segment::Literal(_), Segment::Param(_)) => false,
        });
        covered
            && if self.open {
                self.segments.len() <= other.segments.len()
            } else {
                !other.open && self.segments.len() == other.segments.len()
            }
    }
}

/// Returns the path of the literal segments alone.
fn literals(segments: &[Segment]) -> String {
    let literal = |segment: &Segment| match segment {
        Segment::Literal(literal) => format!("/{literal}"),
        Segment::Param(_) => String::new(),
    };
    segments.iter().map(literal).collect()
}

/// As the configuration has it, in canonical form.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(f, "/{literal}")?,
                Segment::Param(name) => write!(f, "/{{{name}}}")?,
            }
        }
        match (self.open, self.segments.is_empty()) {
            (true, _) => f.write_str("/*"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

/// The segments of a canonical path. A slash at the end adds none, and `/` has none.
pub(super) fn split(path: &str) -> impl Iterator<Item = &str> + Clone {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let segments = rest.strip_suffix('/').unwrap_or(rest);
    segments.split('/').take(if rest.is_empty() { 0 } else { usize::MAX })
}
