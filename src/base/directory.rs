//! Whether a directory that a setting names can be written to, or made. Looked at before anything is started, and without
//! making anything.

use std::{fs, path::Path};

use rustix::fs::{Access, access};

/// What would keep us from keeping files in the directory at `path`.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    // A path of one name has the working directory above it.
    let above = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(Path::new(".").to_path_buf()),
        parent => parent.map(Path::to_path_buf),
    };
    let mut nearest = path.to_path_buf();
    let found = loop {
        match fs::metadata(&nearest) {
            Ok(found) => break found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                nearest = above(&nearest).ok_or_else(|| error.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let what = if nearest == path { "it".to_owned() } else { nearest.display().to_string() };
    if !found.is_dir() {
        return Err(format!("{what} is not a directory"));
    }
    access(&nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt as _;

    use super::*;

    #[test]
    fn a_directory_is_there_or_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(check(dir.path()), Ok(()));
        assert_eq!(check(&dir.path().join("a/b")), Ok(()));
        assert_eq!(check(Path::new("not-there")), Ok(()), "in the working directory");
        assert!(!dir.path().join("a").exists(), "nothing is made");
        assert_eq!(check(&file).unwrap_err(), "it is not a directory");
        assert_eq!(check(Path::new("/dev/null")).unwrap_err(), "it is not a directory");
        assert!(check(&file.join("data")).is_err(), "below a file");
        let closed = dir.path().join("closed");
        fs::DirBuilder::new().mode(0o500).create(&closed).unwrap();
        // Root may write everywhere.
        assert_eq!(check(&closed.join("data")).is_ok(), rustix::process::geteuid().is_root());
    }
}
