use super::*;

fn around() -> Surroundings {
    Surroundings {
        listen: "127.0.0.1:7001".parse().expect("a literal address"),
        memory_max: 1 << 30,
        policy_name: "allkeys-s3-fifo".to_owned(),
        redirect: false,
        keyspace_count: 2,
    }
}

fn show(settings: &Settings, pattern: &str) -> Vec<(&'static str, String)> {
    get(settings, &around(), &[pattern.as_bytes()])
}

#[test]
fn what_benchmarks_and_exporters_ask_is_there() {
    let settings = Settings::new(Limits::default());
    assert_eq!(show(&settings, "save"), [("save", String::new())]);
    assert_eq!(show(&settings, "APPENDONLY"), [("appendonly", "yes".to_owned())]);
    assert_eq!(show(&settings, "databases"), [("databases", "2".to_owned())]);
    assert_eq!(show(&settings, "maxmemory"), [("maxmemory", "1073741824".to_owned())]);
    assert_eq!(show(&settings, "nonsense"), []);
    let names: Vec<&str> = show(&settings, "slowlog-*").into_iter().map(|row| row.0).collect();
    assert_eq!(names, ["slowlog-log-slower-than", "slowlog-max-len"]);
    assert_eq!(show(&settings, "*").len(), ROWS.len());
}

#[test]
fn rows_are_in_order_and_named_once() {
    assert!(ROWS.windows(2).all(|pair| pair[0].name < pair[1].name));
}

#[test]
fn every_row_that_can_be_set_takes_back_what_it_shows() {
    let settings = Settings::new(Limits::default());
    for row in ROWS.iter().filter(|row| row.set.is_some()) {
        let mut changed = settings.clone();
        let shown = (row.show)(&settings, &around());
        let shown = shown.split(" slave").next().unwrap_or_default();
        set(&mut changed, &[(row.name.as_bytes(), shown.as_bytes())]).expect(row.name);
        assert_eq!(changed, settings, "{}", row.name);
    }
}

#[test]
fn set_changes_all_or_nothing() {
    let mut settings = Settings::new(Limits::default());
    let before = settings.clone();
    let refused = set(&mut settings, &[(b"maxclients", b"7"), (b"timeout", b"soon")]);
    assert!(matches!(refused, Err(SetError::Value { name: "timeout", .. })));
    assert_eq!(settings, before);

    set(&mut settings, &[(b"maxclients", b"7"), (b"proto-max-bulk-len", b"1mb")]).expect("valid");
    assert_eq!(settings.limits.connection_count_max, 7);
    assert_eq!(settings.limits.bulk_size_max, 1024 * 1024);
}

#[test]
fn refusals_name_the_parameter_and_the_way_out() {
    let mut settings = Settings::new(Limits::default());
    let refusal = |settings: &mut Settings, name: &str, value: &str| {
        set(settings, &[(name.as_bytes(), value.as_bytes())]).expect_err("refused").to_string()
    };
    assert!(refusal(&mut settings, "appendonly", "no").contains("restart"));
    assert!(refusal(&mut settings, "nope", "1").starts_with("Unknown option"));
    assert!(refusal(&mut settings, "maxclients", "0").contains("between 1 and"));
    assert!(refusal(&mut settings, "proto-max-bulk-len", "1xb").contains("memory value"));
    assert!(
        refusal(&mut settings, "client-output-buffer-limit", "pubsub 1 1 1").contains("normal")
    );
}
