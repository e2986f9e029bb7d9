//! What many sessions cost.

use serde::Serialize;

use crate::{options::Options, rounds::Figures, rows::Bed};

#[derive(Serialize)]
pub(crate) struct Scale {}

impl Scale {
    pub(crate) fn markdown(&self) -> String {
        String::new()
    }
    pub(crate) fn capacity(&self, _: &[Figures]) -> Option<String> {
        None
    }
}

pub(crate) async fn measure(_bed: &Bed, _options: &Options) -> Option<Scale> {
    None
}
