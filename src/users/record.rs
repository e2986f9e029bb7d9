//! What the built-in directory keeps of one address.

use serde::{Deserialize, Serialize};

use crate::base::Cause;
use crate::engine::record::Record;

/// One address: who has it, and whether it may log in. A record only ever gains: a user is not deleted and a block is
/// not lifted.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Person {
    /// The user who has the address, once there is one.
    pub(super) user_id: Option<String>,
    /// The block, once there is one.
    pub(super) block: Option<BlockRecord>,
}

/// The order that blocked an address, kept for whoever asks why.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct BlockRecord {
    reason_code: String,
    actor_type: String,
    actor_id: Option<String>,
}

impl Record for Person {
    const VERSION: u8 = 1;
}

impl From<&Cause> for BlockRecord {
    fn from(cause: &Cause) -> Self {
        Self {
            reason_code: cause.reason_code.clone(),
            actor_type: cause.actor_type.clone(),
            actor_id: cause.actor_id.clone(),
        }
    }
}
