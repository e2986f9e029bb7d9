//! Secrets that lie in files, as container platforms mount them: the text of the file without its last line's end. What
//! was read is wiped when it is dropped, and a file of any size or kind is a fault, never a crash.

use std::{fs::File, io::Read};

use zeroize::Zeroizing;

/// More than any secret is long.
const MOST_BYTES: usize = 65_536;

/// The secret in the file at `path`, or what is wrong with the file.
pub(super) fn read(path: &str) -> Result<Zeroizing<String>, String> {
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES + 1));
    let opened = File::open(path).and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes));
    opened.map_err(|error| error.to_string())?;
    if bytes.len() > MOST_BYTES {
        return Err(format!("it is larger than {MOST_BYTES} bytes"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text in UTF-8")?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Zeroizing::new(secret.to_owned()))
}
