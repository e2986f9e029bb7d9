//! Which lines are logged: a level, or levels by target, as `RUST_LOG` says it.

use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{Layer, filter::Targets, layer::Context};

use crate::base::settings::Reader;

/// The crate's name is the start of the target of every line that is ours.
pub(super) const OURS: &str = "authsession";

/// Lets events through that the log wants, and the spans of our operations always: a warning has its request id where
/// the log begins at warnings, and traces do not depend on the log.
///
/// A filter of the whole subscriber rather than of its log layer, since a filter of one layer costs every span.
#[derive(Clone, PartialEq, Debug)]
pub struct Filter(Targets);

impl Filter {
    /// Reads `RUST_LOG`. A level alone is ours; what we use is then quiet below warnings. Levels by target are taken
    /// as they stand.
    pub(super) fn read(reader: &mut Reader) -> Self {
        reader.declare_default("RUST_LOG", "info");
        let takes =
            "a level (error, warn, info, debug, trace, off) or levels by target such as info,hyper=debug";
        reader.optional("RUST_LOG", takes, Self::parse).unwrap_or_else(|| Self::level(LevelFilter::INFO))
    }

    fn parse(text: &str) -> Option<Self> {
        if let Ok(level) = text.trim().parse::<LevelFilter>() {
            return Some(Self::level(level));
        }
        // A lone word would be a target at full volume; it is more likely a misspelt level, and would mean silence.
        let misspelt =
            |part: &str| part.is_empty() || !part.contains('=') && part.parse::<LevelFilter>().is_err();
        if text.split(',').map(str::trim).any(misspelt) {
            return None;
        }
        text.parse().ok().map(Self)
    }

    fn level(level: LevelFilter) -> Self {
        Self(Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(OURS, level))
    }

    fn lets_through(&self, metadata: &Metadata<'_>) -> bool {
        is_operation(metadata) || self.0.would_enable(metadata.target(), metadata.level())
    }
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.lets_through(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lets_through(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let targets = self.0.iter().map(|(_, level)| level).chain(self.0.default_level());
        targets.chain([LevelFilter::INFO]).max()
    }
}

/// Whether this is the span of an operation, or another of ours that matters outside debugging.
pub(super) fn is_operation(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= LevelFilter::INFO && metadata.target().starts_with(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_ours_and_levels_by_target_are_taken_as_they_stand() {
        for (value, directives) in [
            ("info", "warn,authsession=info"),
            ("debug", "warn,authsession=debug"),
            ("ERROR", "error,authsession=error"),
            ("off", "off,authsession=off"),
            ("info,hyper=debug", "info,hyper=debug"),
            ("authsession::gateway=trace", "authsession::gateway=trace"),
        ] {
            assert_eq!(Filter::parse(value), Some(Filter(directives.parse().unwrap())), "{value}");
        }
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_target() {
        for value in ["inof", "info,hyper", "authsession=loud", ",", "authsession=info=debug"] {
            assert_eq!(Filter::parse(value), None, "{value}");
        }
    }
}
