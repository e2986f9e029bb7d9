//! The audit metadata of a mutation: why it was done, and on whose word.

use serde::{Deserialize, Serialize};

/// Why, and on whose word. Kept with what it changed, so its fields are part of stored records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cause {
    /// Machine-readable reason: 1 to 128 characters, not blank, no control characters.
    pub reason_code: String,
    /// What kind of actor, such as `system`, `service` or `admin`: of the same form.
    pub actor_type: String,
    /// Which one: 1 to 256 characters.
    pub actor_id: Option<String>,
}

impl Cause {
    const WORD_LIMIT: usize = 128;
    const ID_LIMIT: usize = 256;

    /// Checks the three. The error is a sentence that names the field and what it takes.
    pub fn parse(
        reason_code: String,
        actor_type: String,
        actor_id: Option<String>,
    ) -> Result<Self, &'static str> {
        if !is_word(&reason_code) {
            return Err("reason_code must be 1 to 128 characters, not blank, without control characters");
        }
        if !is_word(&actor_type) {
            return Err("actor.type must be 1 to 128 characters, not blank, without control characters");
        }
        if actor_id.as_deref().is_some_and(|id| !(1..=Self::ID_LIMIT).contains(&id.chars().count())) {
            return Err("actor.id must be 1 to 256 characters");
        }
        Ok(Self { reason_code, actor_type, actor_id })
    }

    /// The service's own doing.
    #[must_use]
    pub fn system(reason_code: &str) -> Self {
        Self { reason_code: reason_code.to_owned(), actor_type: "system".to_owned(), actor_id: None }
    }
}

fn is_word(text: &str) -> bool {
    (1..=Cause::WORD_LIMIT).contains(&text.chars().count())
        && !text.chars().any(char::is_control)
        && !text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_counted_in_characters() {
        let parse = |reason: &str, kind: &str, id: Option<&str>| {
            Cause::parse(reason.to_owned(), kind.to_owned(), id.map(str::to_owned))
        };
        assert!(parse(&"ä".repeat(128), "admin", Some(&"ö".repeat(256))).is_ok());
        assert!(parse("a b", "system", None).is_ok());
        for word in ["", "  ", "a\nb", "\u{7f}", &"a".repeat(129)] {
            assert!(parse(word, "admin", None).unwrap_err().starts_with("reason_code"), "{word:?}");
            assert!(parse("reason", word, None).unwrap_err().starts_with("actor.type"), "{word:?}");
        }
        for id in ["", &"a".repeat(257)] {
            assert!(parse("reason", "admin", Some(id)).unwrap_err().starts_with("actor.id"), "{id:?}");
        }
    }
}
