//! Colours of the terminal, and texts of others that must not steer it.
//!
//! Colours are always written; the stream takes them out again where they are not wanted
//! (`anstream`: no terminal, `NO_COLOR`, `CLICOLOR_FORCE`).

use anstyle::{AnsiColor, Style};

/// What is beside the point.
pub(in crate::cli) const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
/// What should be looked at.
pub(in crate::cli) const YELLOW: Style = AnsiColor::Yellow.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// The colour of an event of this type.
pub(in crate::cli) fn style_of(kind: &str) -> Style {
    match kind {
        "succeeded" | "delivered" | "displayed" => GREEN,
        "failed" | "undelivered" => RED,
        "deferred" => YELLOW,
        _ => CYAN,
    }
}

/// Without what would move the cursor, change colours or end the line.
pub(in crate::cli) fn printable(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(visible).collect()
}
