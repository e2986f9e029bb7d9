//! What everyone may import and what imports nothing of ours: time and randomness, parsed values, secrets, and
//! the one infrastructure error. Start with [`World`].

mod base_url;
mod cause;
mod device_key;
pub(crate) mod directory;
mod email;
pub mod id;
mod races;
mod secret;
mod secret_file;
pub mod settings;
pub(crate) mod small_file;
mod tls;
mod unavailable;
mod world;

pub use base_url::BaseUrl;
pub use cause::Cause;
pub use device_key::DeviceKey;
pub use email::Email;
pub use races::Races;
pub use secret::Secret;
pub use tls::use_ring;
pub use unavailable::{Unavailable, chain};
pub use world::{Clock, Generator, Randomness, SystemClock, SystemRandomness, Timestamp, World};
