//! Settings.
/// Settings.
pub struct Settings;
