//! Steps that rest on what was read before, and are refused where somebody else has changed it meanwhile: then one looks
//! again. Every rival wins once and is gone, so whoever loses on and on is not in a race: something is wrong.

use super::Unavailable;

/// More than can be under way at once.
const MOST: u32 = 10_000;

/// How often one request has lost.
#[derive(Debug, Default)]
pub struct Races(u32);

impl Races {
    /// One more was lost. An error, of the store, where there have been too many.
    pub fn lost(&mut self) -> Result<(), Unavailable> {
        self.0 += 1;
        if self.0 > MOST {
            return Err(Unavailable::new("store", "what it reads and what it refuses do not go together"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_loses_for_ever() {
        let mut races = Races::default();
        assert!((0..MOST).all(|_| races.lost().is_ok()));
        assert!(races.lost().is_err());
    }
}
