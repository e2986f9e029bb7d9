//! What the built-in directory keeps of one address.

use serde::{Deserialize, Serialize};

use super::BlockOrder;
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

impl From<&BlockOrder> for BlockRecord {
    fn from(order: &BlockOrder) -> Self {
        Self {
            reason_code: order.reason_code.clone(),
            actor_type: order.actor_type.clone(),
            actor_id: order.actor_id.clone(),
        }
    }
}
