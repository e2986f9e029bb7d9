//! `Host`: which service a client thinks it asks. We look at it for one reason only: proxies and servers that take it from
//! different places can be played against one another, and RFC 9112 section 3.2 demands 400 where it is not said once.

use axum::http::{Request, Version, header::HOST};

use super::Problem;

/// Why `request` says it not at all, or more than once. HTTP/1.0 knows no `Host`, and HTTP/2 has `:authority` for it.
pub(super) fn fault<B>(request: &Request<B>) -> Option<Problem> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => {
            Some(Problem::invalid_request("the Host header is missing"))
        }
        (Some(_), Some(_)) => Some(Problem::invalid_request("the Host header is there twice")),
        (None | Some(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once() {
        let fine = |version, hosts: &[&str]| {
            let blank = Request::builder().version(version);
            let request = hosts.iter().fold(blank, |request, host| request.header(HOST, *host));
            fault(&request.body(()).unwrap()).is_none()
        };
        assert!(fine(Version::HTTP_11, &["a"]) && fine(Version::HTTP_11, &[""]));
        assert!(fine(Version::HTTP_10, &[]) && fine(Version::HTTP_2, &[]) && fine(Version::HTTP_2, &["a"]));
        assert!(!fine(Version::HTTP_11, &[]));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(!fine(version, &["a", "a"]), "{version:?}");
        }
    }
}
