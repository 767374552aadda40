//! Which characters a person does not see, by their Unicode properties.
//!
//! What is copied from a directory, a chat or a web page carries them along: marks of direction,
//! zero-width blanks, soft hyphens, byte order marks. A number is the same without them. Two names
//! that look alike and are not are a trap, so there they are refused.

use std::borrow::Cow;

use icu_properties::CodePointMapData;
use icu_properties::CodePointSetData;
use icu_properties::props::Dash;
use icu_properties::props::DefaultIgnorableCodePoint;
use icu_properties::props::GeneralCategory;
use icu_properties::props::GeneralCategoryGroup;

use super::TargetError;
use crate::sip::uri::escape;

/// Whether nothing is seen of a character: blanks (`White_Space`), control and format characters
/// (`Cc`, `Cf`), and those that are shown by nothing (`Default_Ignorable_Code_Point`).
pub(super) fn is_invisible(char: char) -> bool {
    if char.is_ascii() {
        return !char.is_ascii_graphic();
    }
    char.is_whitespace()
        || GeneralCategoryGroup::Control
            .union(GeneralCategoryGroup::Format)
            .contains(CodePointMapData::<GeneralCategory>::new().get(char))
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(char)
}

/// Whether a character is a hyphen, a dash or a minus (`Dash`).
pub(super) fn is_dash(char: char) -> bool {
    match char.is_ascii() {
        true => char == '-',
        false => CodePointSetData::new::<Dash>().contains(char),
    }
}

/// Refuses a name with an invisible character, written or escaped. An escaped blank was written on
/// purpose and is taken.
pub(super) fn refuse_invisible(part: &str) -> Result<(), TargetError> {
    if part
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'%')
    {
        return Ok(());
    }
    if let Some(found) = part.chars().find(|char| is_invisible(*char)) {
        return Err(TargetError::Invisible(found));
    }
    let meant = escape::try_unescape(part).map_or(Cow::Borrowed(part), |bytes| {
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    });
    match meant
        .chars()
        .find(|char| is_invisible(*char) && *char != ' ')
    {
        Some(found) => Err(TargetError::Invisible(found)),
        None => Ok(()),
    }
}
