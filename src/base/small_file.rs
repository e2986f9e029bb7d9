//! Files that settings name: read whole, if they are regular files of a size that such files have. A pipe would keep its
//! reader waiting, and a device never ends: both are faults that are told at once.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// More than any certificate chain, list of authorities or key takes.
pub(crate) const CERTIFICATES: usize = 1 << 20;

/// What the file at `path` holds, `most` bytes at most.
pub(crate) fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    // Before it is opened: to open a pipe is to wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    // Room for all of it from the start: a buffer that grows leaves copies of a secret behind.
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(length.min(most).saturating_add(1));
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn whatever_is_no_small_regular_file_is_a_fault_and_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        for (length, fits) in [(0, true), (16, true), (17, false)] {
            fs::write(&file, vec![7; length]).unwrap();
            assert_eq!(read(&file, 16).is_ok(), fits, "{length} bytes");
        }
        let pipe = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, dir.path(), Path::new("/dev/zero"), &dir.path().join("missing")] {
            assert!(read(path, 16).is_err(), "{}", path.display());
        }
    }
}
