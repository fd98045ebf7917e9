//! Errors in one line, for logs and for facts that say why something did not happen.

/// An error and everything behind it, in one line: each layer says its own part, and this puts them together.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
