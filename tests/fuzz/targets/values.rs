//! Single values: addresses, keys and signatures, ids and cursors, settings.

use authsession::{
    base::{BaseUrl, DeviceKey, Email},
    challenge::Code,
    config::Config,
    engine::{Place, Position},
    gateway::Checkpoint,
    http::ListenAddress,
    session::SessionId,
};

/// What is taken for an address has one form, and that form is taken for itself.
pub fn email(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(email) = Email::parse(text) else { return };
    let normal = email.as_str();
    assert!(normal.len() <= Email::MAX_BYTES && normal.is_ascii(), "{normal:?}");
    assert!(!normal.bytes().any(|byte| byte.is_ascii_control() || byte.is_ascii_uppercase()), "{normal:?}");
    assert_eq!(normal, text.trim().to_ascii_lowercase());
    assert_eq!(Email::parse(normal).as_ref(), Some(&email));
    assert_eq!(format!("{email:?}"), "[email]");
}

/// A key in the first line, a signature in the second. There is one spelling of a key, and no signature is good for two
/// messages: a key of small order would allow that.
pub fn device_key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (key_text, signature) = text.split_once('\n').unwrap_or((text, ""));
    let Some(key) = DeviceKey::parse(key_text) else { return };
    assert_eq!(key.to_string(), key_text);
    assert_eq!(DeviceKey::from_stored(*key.as_bytes()), key);
    let good_for = ["message", "another", ""].iter().filter(|text| key.verifies(text.as_bytes(), signature));
    assert!(good_for.count() <= 1, "one signature for two messages");
}

/// Every id and cursor that is taken is printed as it was read, so nothing has two names.
pub fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(id) = SessionId::parse(text) {
        assert_eq!((id.to_string().as_str(), text.len()), (text, 45));
    }
    if let Some((place, rest)) = Place::split(text) {
        assert_eq!(format!("{}{rest}", place.prefix()), text);
    }
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string().parse(), Ok(position));
    }
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    }
    for length in 6..=10 {
        if Code::parse(text, length).is_some() {
            assert!(text.len() == length as usize && text.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}

/// Lines of `NAME=value`. Whatever they say, the answer is a configuration or faults, and neither tells a secret: one is
/// marked by the word hunter2.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let pairs: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        // Another file of this machine would be read.
        .filter(|(name, _)| !name.ends_with("_FILE") && !name.contains("hunter2"))
        .collect();
    for (_, value) in &pairs {
        let _ = ListenAddress::parse(value);
        if let Some(base) = BaseUrl::parse(value) {
            assert!(base.join(&["a/b", value]).as_str().starts_with("http"));
        }
    }
    match Config::read(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))) {
        Ok(config) => {
            let is_secret =
                |name: &str| ["SECRET", "PASSWORD", "TOKEN"].iter().any(|word| name.contains(word));
            let told = config.effective().iter().filter(|(name, _)| is_secret(name));
            assert!(told.into_iter().all(|(_, value)| matches!(value.as_str(), "(set)" | "(not set)")));
            assert!(!format!("{:?}", config.challenge).contains("hunter2"));
        }
        Err(faults) => {
            assert!(!faults.0.is_empty() && faults.0.iter().all(|fault| !fault.is_empty()));
            assert!(!faults.to_string().contains("hunter2"), "{faults}");
        }
    }
}
