//! Secrets that lie in files, as container platforms mount them: the text of the file without its last line's end. What
//! was read is wiped when it is dropped, and a file of any size or kind is a fault, never a crash.

use std::path::Path;

use zeroize::Zeroizing;

use super::small_file;

/// More than any secret is long.
const MOST_BYTES: usize = 65_536;

/// The secret in the file at `path`, or what is wrong with the file.
pub(super) fn read(path: &str) -> Result<Zeroizing<String>, String> {
    let bytes = small_file::read(Path::new(path), MOST_BYTES).map_err(|error| error.to_string())?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text in UTF-8")?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("it is empty".to_owned());
    }
    // No editor shows them, and no other reader of the same secret would count them as we do.
    if secret.starts_with('\u{feff}') {
        return Err("it begins with a byte order mark".to_owned());
    }
    if secret.trim() != secret {
        return Err("it begins or ends with white space".to_owned());
    }
    Ok(Zeroizing::new(secret.to_owned()))
}
