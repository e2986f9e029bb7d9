//! What everyone may import and what imports nothing of ours: time and randomness, parsed values, secrets, and
//! the one infrastructure error. Start with [`World`].

mod cause;
mod device_key;
mod email;
pub mod id;
mod secret;
pub mod settings;
mod unavailable;
mod world;

pub use cause::Cause;
pub use device_key::DeviceKey;
pub use email::Email;
pub use secret::Secret;
pub use unavailable::Unavailable;
pub use world::{Clock, Randomness, SystemClock, SystemRandomness, Timestamp, World};
