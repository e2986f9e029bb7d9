//! Settings: every fault at once, and no typo passes for a default.

use authsession::config::Config;

/// The faults of an environment with these variables; empty where it is good.
fn faults(variables: &[(&str, &str)]) -> Vec<String> {
    let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::read(pairs).err().map(|faults| faults.0).unwrap_or_default()
}

const BAD: [(&str, &str); 38] = [
    ("AUTHSESSION_PUBLIC_HTTP_ADDR", "8080"),
    ("AUTHSESSION_INTERNAL_HTTP_ADDR", "127.0.0.1:99999"),
    ("AUTHSESSION_REDIS_MODE", "ring"),
    ("AUTHSESSION_REDIS_DB", "zero"),
    ("AUTHSESSION_REDIS_OPERATION_TIMEOUT", "0s"),
    ("AUTHSESSION_REDIS_MIN_REPLICAS", "-1"),
    ("AUTHSESSION_GATEWAY_SESSION_EVENTS_MAX_LEN", "many"),
    ("AUTHSESSION_USER_SERVICE_MODE", "soap"),
    ("AUTHSESSION_USER_SERVICE_REQUEST_TIMEOUT", "1"),
    ("AUTHSESSION_MAIL_SERVICE_MODE", "smtp"),
    ("AUTHSESSION_MAIL_SERVICE_REQUEST_TIMEOUT", "soon"),
    ("AUTHSESSION_CODE_SECRET", "too-short-hunter2"),
    ("AUTHSESSION_CODE_LENGTH", "5"),
    ("AUTHSESSION_CODE_TTL", "11m"),
    ("AUTHSESSION_CODE_RESEND_COOLDOWN", "60"),
    ("AUTHSESSION_CODE_MAX_ATTEMPTS", "0"),
    ("AUTHSESSION_ADDRESS_MAX_FAILURES", "none"),
    ("AUTHSESSION_REQUIRE_KEY_PROOF", "yes"),
    ("AUTHSESSION_MAX_SESSIONS_PER_USER", "-1"),
    ("AUTHSESSION_SESSION_LIMIT_POLICY", "drop"),
    ("AUTHSESSION_REVOKED_RETENTION", "90d"),
    ("AUTHSESSION_RATE_LIMIT_SEND_PER_MINUTE", "-1"),
    ("AUTHSESSION_RATE_LIMIT_CONFIRM_PER_MINUTE", "1.5"),
    ("AUTHSESSION_TRUSTED_PROXIES", "10.0.0.0/33"),
    ("AUTHSESSION_SHUTDOWN_TIMEOUT", "-10s"),
    ("AUTHSESSION_LOG_FORMAT", "xml"),
    ("AUTHSESSION_CODE_LENGHT", "6"),
    ("AUTHSESSION_NONSENSE", "1"),
    ("AUTHSESSION_SESSION_LIMIT", "1"),
    ("AUTHSESSION_REDIS_ADDRESS", "127.0.0.1:6379"),
    ("AUTHSESSION_GATEWAY_PREFIX", "x"),
    ("AUTHSESSION_", "x"),
    ("AUTHSESSION_MAIL_BASE_URL", "http://127.0.0.1:1"),
    ("AUTHSESSION_USER_BASE_URL", "http://127.0.0.1:1"),
    ("AUTHSESSION_TOKEN", "x"),
    ("OTEL_TRACES_EXPORTER", "zipkin"),
    ("OTEL_METRICS_EXPORTER", "statsd"),
    ("AUTHSESSION_INTERNAL_TOKENS", "x"),
];

#[test]
fn every_bad_value_and_every_unknown_variable_is_a_fault_that_names_it() {
    for (name, value) in BAD {
        let faults = faults(&[(name, value)]);
        assert_eq!(faults.len(), 1, "{name}={value}: {faults:?}");
        assert!(faults[0].contains(name), "{faults:?}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let faults = faults(&BAD);
    for (name, _) in BAD {
        assert!(faults.iter().any(|fault| fault.contains(&format!("{name} "))), "{name}: {faults:#?}");
    }
    assert_eq!(faults.len(), BAD.len(), "{faults:#?}");
}

#[test]
fn faults_repeat_no_values() {
    let faults = faults(&BAD).join("\n");
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[test]
fn a_rest_mode_needs_its_base_url() {
    for service in ["USER", "MAIL"] {
        let mode = format!("AUTHSESSION_{service}_SERVICE_MODE");
        let url = format!("AUTHSESSION_{service}_SERVICE_BASE_URL");
        let missing = faults(&[(&mode, "rest")]);
        assert!(missing.len() == 1 && missing[0].contains(&url), "{missing:?}");
        for bad in ["127.0.0.1:8091", "ftp://127.0.0.1", "http://", "http://a/?q=1"] {
            let bad = faults(&[(&mode, "rest"), (&url, bad)]);
            assert!(bad.len() == 1 && bad[0].contains(&url), "{bad:?}");
        }
        for good in ["http://127.0.0.1:8091", "https://users.example.com/prefix/"] {
            assert_eq!(faults(&[(&mode, "rest"), (&url, good)]), [""; 0]);
        }
    }
}

#[test]
fn the_owners_examples_and_the_bounds_are_good() {
    let minimal = [
        ("AUTHSESSION_REDIS_ADDR", "127.0.0.1:6379"),
        ("AUTHSESSION_PUBLIC_HTTP_ADDR", ":8080"),
        ("AUTHSESSION_INTERNAL_HTTP_ADDR", ":8081"),
        ("AUTHSESSION_USER_SERVICE_MODE", "stub"),
        ("AUTHSESSION_MAIL_SERVICE_MODE", "stub"),
        ("OTEL_SERVICE_NAME", "galaxy-authsession"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let rest = [
        ("AUTHSESSION_REDIS_ADDR", "127.0.0.1:6379"),
        ("AUTHSESSION_USER_SERVICE_MODE", "rest"),
        ("AUTHSESSION_USER_SERVICE_BASE_URL", "http://127.0.0.1:8091"),
        ("AUTHSESSION_USER_SERVICE_REQUEST_TIMEOUT", "1s"),
        ("AUTHSESSION_MAIL_SERVICE_MODE", "rest"),
        ("AUTHSESSION_MAIL_SERVICE_BASE_URL", "http://127.0.0.1:8092"),
        ("AUTHSESSION_MAIL_SERVICE_REQUEST_TIMEOUT", "1s"),
    ];
    let bounds = [
        ("AUTHSESSION_CODE_LENGTH", "10"),
        ("AUTHSESSION_CODE_TTL", "10m"),
        ("AUTHSESSION_CODE_RESEND_COOLDOWN", "1m30s"),
        ("AUTHSESSION_REDIS_OPERATION_TIMEOUT", "1ms"),
        ("AUTHSESSION_RATE_LIMIT_SEND_PER_MINUTE", "0"),
        ("AUTHSESSION_TRUSTED_PROXIES", "10.0.0.0/8,2001:db8::/32,127.0.0.1/32"),
        ("AUTHSESSION_PUBLIC_HTTP_ADDR", "[::1]:0"),
        ("PATH", "/bin"),
        ("AUTHSESSION_CODE_SECRET", ""),
    ];
    assert_eq!(faults(&[]), [""; 0]);
    assert_eq!(faults(&minimal), [""; 0]);
    assert_eq!(faults(&rest), [""; 0]);
    assert_eq!(faults(&bounds), [""; 0]);
}
