use std::time::Duration;

use super::*;

const ID: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

fn read_line(line: &str) -> Result<Asked, FlagsError> {
    read(std::iter::once("peat-node").chain(line.split_whitespace()))
}

fn words(line: &str) -> Result<Settings, FlagsError> {
    match read_line(line)? {
        Asked::Serve(settings) => Ok(*settings),
        Asked::Question(ask) => panic!("{line} is a question: {ask:?}"),
        Asked::Upkeep(upkeep) => panic!("{line} is upkeep: {upkeep:?}"),
        Asked::Token(token) => panic!("{line} is a token: {token:?}"),
    }
}

#[test]
fn help_is_complete() {
    // The width is fixed, since clap would otherwise ask the terminal that the test runs in.
    let help = command().term_width(100).try_get_matches_from(["peat-node", "--help"]).expect_err("help");
    insta::assert_snapshot!(help.to_string());
}

#[test]
fn every_flag_of_the_contract_has_its_variable() {
    let pairs = [
        ("listen", "LISTEN"),
        ("data-dir", "DATA_DIR"),
        ("node-id", "NODE_ID"),
        ("app-id", "APP_ID"),
        ("shared-key", "SHARED_KEY"),
        ("shared-key-previous", "SHARED_KEY_PREVIOUS"),
        ("allow-list", "ALLOW_LIST"),
        ("peer", "PEERS"),
        ("iroh-udp-port", "IROH_UDP_PORT"),
        ("auto-sync", "AUTO_SYNC"),
        ("topology", "TOPOLOGY"),
        ("advertise", "ADVERTISE"),
        ("dial-interval", "DIAL_INTERVAL"),
        ("keep-alive", "KEEP_ALIVE"),
        ("encryption-key", "ENCRYPTION_KEY"),
        ("metrics-listen", "METRICS_LISTEN"),
        ("listen-mode", "LISTEN_MODE"),
        ("tls-cert", "TLS_CERT"),
        ("tls-key", "TLS_KEY"),
        ("tls-client-ca", "TLS_CLIENT_CA"),
        ("tokens", "TOKENS"),
        ("allow-origin", "ALLOW_ORIGIN"),
        ("api-token", "API_TOKEN"),
        ("api-tls-ca", "API_TLS_CA"),
        ("api-tls-name", "API_TLS_NAME"),
        ("api-tls-cert", "API_TLS_CERT"),
        ("api-tls-key", "API_TLS_KEY"),
        ("agent-addr", "AGENT_ADDR"),
        ("agent-poll-interval", "AGENT_POLL_INTERVAL"),
        ("agent-tls-cert", "AGENT_TLS_CERT"),
        ("agent-tls-key", "AGENT_TLS_KEY"),
        ("agent-tls-ca", "AGENT_TLS_CA"),
        ("discovery-mode", "DISCOVERY_MODE"),
        ("discovery-service", "DISCOVERY_SERVICE"),
        ("discovery-interval", "DISCOVERY_INTERVAL"),
        ("discovery-nameserver", "DISCOVERY_NAMESERVER"),
        ("mesh-address", "MESH_ADDRESS"),
        ("relay", "RELAY"),
        ("relay-ca", "RELAY_CA"),
        ("relay-token", "RELAY_TOKEN"),
    ];
    for (flag, name) in pairs {
        assert_eq!(variable(&format!("--{flag}")), Some(format!("PEAT_NODE_{name}")));
    }
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = words("").expect("no flag is required");
    assert_eq!(settings.listen.to_string(), "tcp://0.0.0.0:50051");
    assert_eq!(settings.data_dir, PathBuf::from("/data/peat-node"));
    assert_eq!(settings.formation, Formation { app_id: "peat-default".into(), shared_key: None, previous_key: None });
    assert_eq!(settings.allow_list, None);
    assert!(settings.node_id.is_none() && settings.peers.is_empty() && settings.auto_sync);
    assert_eq!((settings.mesh_address, settings.mesh_port), (None, 0));
    assert_eq!(settings.discovery, Discovery::default());
    assert_eq!((settings.topology, settings.advertise.len()), (Topology::Auto, 0));
    assert_eq!(settings.timing, Timing::default());
}

#[test]
fn gossip_is_configured_by_four_flags() {
    let line = "--discovery-mode gossip --topology spoke --advertise ship-7:7777,[fd00::7]:7 --dial-interval 30";
    let settings = words(line).expect("valid");
    assert!(settings.discovery.gossip && !settings.discovery.mdns);
    assert_eq!(settings.topology, Topology::Spoke);
    assert_eq!(settings.advertise, ["ship-7:7777", "[fd00::7]:7"]);
    assert_eq!(settings.timing.dial_interval, Duration::from_secs(30));
}

#[test]
fn relays_are_configured_by_three_flags() {
    let line = "--relay https://Relay.example,https://relay.example:443,https://[fd00::7]:8443 --relay-ca ca.pem";
    let line = format!("{line} --relay-token hunter2 --peer {ID}@https://relay.example --peer {ID}@10.0.0.7:7777");
    let settings = words(&line).expect("valid");
    let urls: Vec<String> = settings.relays.urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["https://relay.example/", "https://[fd00::7]:8443/"]);
    assert_eq!(settings.relays.token.as_deref(), Some("hunter2"));
    assert_eq!(settings.relay_ca, Some(PathBuf::from("ca.pem")));
    assert_eq!(settings.peers[0].addresses, ["https://relay.example/", "10.0.0.7:7777"]);
    assert!(!format!("{settings:?}").contains("hunter2"), "a secret was shown");
    assert!(words("").expect("valid").relays.is_empty(), "none is ever contacted unless named");
}

#[test]
fn metrics_are_served_only_where_they_are_asked_for() {
    assert_eq!(words("").expect("valid").metrics_listen, None);
    assert_eq!(words("--metrics-listen none").expect("valid").metrics_listen, None);
    let asked = words("--metrics-listen tcp://127.0.0.1:9464").expect("valid").metrics_listen;
    assert_eq!(asked, Some(Listen::Tcp("127.0.0.1:9464".into())));
}

#[test]
fn a_question_is_asked_where_a_node_listens() {
    let api = |line: &str| match read_line(line).expect("valid") {
        Asked::Question(ask) => ask.api.to_string(),
        Asked::Serve(_) | Asked::Upkeep(_) | Asked::Token(_) => panic!("{line} is a question"),
    };
    assert_eq!(api("status"), "tcp://127.0.0.1:50051");
    assert_eq!(api("peers --api tcp://0.0.0.0:50052"), "tcp://127.0.0.1:50052", "nobody can call every address");
    assert_eq!(api("lag --max-changes 0 --api tcp://[::]:50052"), "tcp://[::1]:50052");
    assert_eq!(api("status --json --api unix:///run/peat.sock"), "unix:///run/peat.sock");
}

#[test]
fn help_of_the_questions() {
    let help = ["status", "peers", "lag"].map(|question| {
        let asked = command().term_width(100).try_get_matches_from(["peat-node", question, "--help"]);
        asked.expect_err("help").to_string()
    });
    insta::assert_snapshot!(help.join("\n================\n\n"));
}

#[test]
fn help_of_the_upkeep() {
    let help = ["check", "compact", "export", "import", "rotate-key", "backup"].map(|task| {
        let asked = command().term_width(100).try_get_matches_from(["peat-node", task, "--help"]);
        asked.expect_err("help").to_string()
    });
    insta::assert_snapshot!(help.join("\n================\n\n"));
}

#[test]
fn help_of_the_tokens() {
    let asked = command().term_width(100).try_get_matches_from(["peat-node", "token", "new", "--help"]);
    insta::assert_snapshot!(asked.expect_err("help").to_string());
}

#[test]
fn access_is_configured_by_five_flags() {
    let none = words("").expect("valid").access;
    assert_eq!(none, AccessSettings::default());
    let socket = words("--listen unix:///s --listen-mode 0600 --tokens ./tokens").expect("valid").access;
    assert_eq!((socket.socket_mode, socket.tls), (Some(0o600), None));
    assert_eq!(socket.tokens.expect("given").path, PathBuf::from("./tokens"));
    let tls =
        words("--tls-cert c.pem --tls-key k.pem --tls-client-ca ca.pem").expect("valid").access.tls.expect("given");
    assert_eq!(tls.cert.path, PathBuf::from("c.pem"));
    assert_eq!(tls.client_ca.expect("given").path, PathBuf::from("ca.pem"));
}

#[test]
fn a_metered_link_is_kept_alive_as_rarely_as_it_bears() {
    let timing = words("--keep-alive 60").expect("valid").timing;
    assert_eq!((timing.keep_alive, timing.idle_timeout), (Duration::from_secs(60), Duration::from_secs(180)));
    assert_eq!(words("--keep-alive 1").expect("valid").timing.idle_timeout, crate::limits::IDLE_TIMEOUT);
}

#[test]
fn addresses_of_one_peer_are_gathered() {
    let line = format!("--peer {ID}@10.0.0.7:7777,{ID}@[fd00::7]:7777, --peer {ID}@10.0.0.7:7777");
    let peers = words(&line).expect("valid").peers;
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].id.to_string(), ID);
    assert_eq!(peers[0].addresses, ["10.0.0.7:7777", "[fd00::7]:7777"]);
}

#[test]
fn a_shared_key_is_32_bytes_of_base64() {
    let settings = words("--shared-key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("valid");
    let key = settings.formation.shared_key.expect("given");
    assert_eq!((key[0], key[31]), (0, 31));
    assert!(!format!("{settings:?}").contains("AAEC"));
}

#[test]
fn peers_are_found_in_several_ways_at_once() {
    let line = "--discovery-mode dns,mdns --discovery-service peers --iroh-udp-port 7777 --discovery-interval 5";
    let discovery = words(line).expect("valid").discovery;
    assert!(discovery.mdns && !discovery.gossip);
    assert_eq!(discovery.interval.as_secs(), 5);
    let name = discovery.dns.expect("given");
    assert_eq!((name.host.as_str(), name.port, name.nameserver), ("peers", 7777, None));

    let line = "--discovery-mode dns --discovery-service peers.example.:8888 --discovery-nameserver 10.96.0.10";
    let name = words(line).expect("valid").discovery.dns.expect("given");
    assert_eq!((name.host.as_str(), name.port), ("peers.example.", 8888));
    assert_eq!(name.nameserver.map(|server| server.to_string()).as_deref(), Some("10.96.0.10:53"));
}

#[test]
fn a_change_over_has_two_keys() {
    let line = "--shared-key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= \
                --shared-key-previous BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let formation = words(line).expect("valid").formation;
    assert_eq!((formation.shared_key.map(|key| key[0]), formation.previous_key.map(|key| key[0])), (Some(0), Some(4)));
}

#[test]
fn an_agent_is_called_with_tls_if_its_address_or_an_authority_says_so() {
    let agent = |line: &str| words(line).expect(line).agent.expect("watched");
    let plain = agent("--agent-addr http://127.0.0.1:8080/ --agent-poll-interval 60");
    assert_eq!((plain.address.to_string().as_str(), plain.interval.as_secs()), ("http://127.0.0.1:8080", 60));
    assert_eq!(agent("--agent-addr [::1]:8080").address.host, "::1");
    assert_eq!(agent("--agent-addr agent:8080").address.tls, None);
    let tls = agent("--agent-addr agent:8443 --agent-tls-ca ca.pem --agent-tls-cert c.pem --agent-tls-key k.pem");
    assert_eq!(tls.address.to_string(), "https://agent:8443");
    let files = tls.address.tls.expect("with TLS");
    assert!(files.ca.ends_with("ca.pem") && files.identity.is_some_and(|ours| ours.key.ends_with("k.pem")));
    let one_sided = agent("--agent-addr HTTPS://agent:8443 --agent-tls-ca ca.pem").address.tls.expect("with TLS");
    assert_eq!(one_sided.identity, None);
    assert_eq!(words("").expect("valid").agent, None);
}

#[test]
fn every_bad_flag_is_explained() {
    let lines = [
        "--listen localhost:50051",
        "--listen-mode 0600",
        "--listen unix:///s --listen-mode 0468",
        "--listen unix:///s --listen-mode 1660",
        "--listen unix:///s --listen-mode 0066",
        "--listen unix:///s --tls-cert c --tls-key k --tls-client-ca a",
        "--tls-cert c",
        "--tls-key k",
        "--tls-client-ca a",
        "--tokens=",
        "--allow-origin *",
        "--allow-origin console.fleet.example",
        "--allow-origin https://a.example/,https://b.example",
        "--metrics-listen localhost:9464",
        "--data-dir=",
        "--node-id=",
        "--app-id=",
        "--shared-key hunter2!",
        "--shared-key c2hvcnQ=",
        "--shared-key-previous AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "--shared-key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= \
         --shared-key-previous AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "--shared-key hunter2! --shared-key-previous hunter2!",
        "--allow-list=",
        "--peer 10.0.0.7:7777",
        "--peer abc@10.0.0.7:7777",
        &format!("--peer 02{}@10.0.0.7:7777", "0".repeat(62)),
        &format!("--peer {ID}@10.0.0.7"),
        &format!("--peer {ID}@10.0.0.7:0"),
        &format!("--peer {ID}@https://relay.example/x --relay https://relay.example"),
        &format!("--peer {ID}@https://relay.example"),
        "--iroh-udp-port 70000",
        "--auto-sync yes",
        "--interest tracks,/x",
        "--class tracks",
        "--class tracks=urgent",
        "--history tracks",
        "--history tracks=sometimes",
        "--history tracks=latest+tombstone:5",
        "--mesh-address ship-7",
        "--discovery-mode none,mdns",
        "--topology star",
        "--advertise fleet.example",
        "--advertise fleet.example:0",
        "--dial-interval 0",
        "--keep-alive 301",
        "--discovery-mode carrier-pigeon",
        "--discovery-mode dns",
        "--discovery-mode dns --discovery-service peers.example",
        "--discovery-mode dns --discovery-service peers.example:0",
        "--discovery-mode dns --discovery-service peers.example:mesh",
        "--discovery-mode dns --discovery-service peers..example:7777",
        "--discovery-mode dns --discovery-service 10.0.0.7:7777",
        "--discovery-mode dns --discovery-service peers.example:7777 --discovery-nameserver dns.example",
        "--discovery-service peers.example",
        "--discovery-nameserver 10.96.0.10",
        "--discovery-interval 0",
        "--discovery-interval 86401",
        "--relay relay.example:443",
        "--relay https://user@relay.example",
        "--relay https://a,https://b,https://c,https://d,https://e,https://f,https://g,https://h,https://i",
        "--relay-token hunter2!",
        "--relay http://relay.example --relay-token hunter2!",
        "--relay http://relay.example --relay-ca ca.pem",
        "--relay-ca ca.pem",
        "--encryption-key AAECAwQFBgcICQoLDA0ODw==",
        "--encryption-key file:/nowhere/key",
        "rotate-key --data-dir d",
        "rotate-key --data-dir d --encryption-key hunter2! --new-encryption-key hunter2!",
        "backup --api nowhere --out f",
        "status --api-token hunter2!",
        "status --api-token file:/nowhere/token",
        "status --api-tls-cert c --api-tls-ca a",
        "status --api-tls-key k --api-tls-ca a",
        "status --api-tls-cert c --api-tls-key k",
        "status --api-tls-name node.example",
        "status --api unix:///s --api-tls-ca a",
        "token new --name= --scope read",
        "token new --name a --scope root",
        "token new --name a --scope read --collection=",
        "token new --name a --scope read --expires tomorrow",
        "--max-document-bytes 1",
        "--max-document-bytes 8388608",
        "--max-document-depth 65",
        "--max-request-bytes 17000000",
        "--max-request-bytes 65536",
        "--max-put-documents 0",
        "--encryption-key hunter2!",
        "--agent-addr localhost",
        "--agent-addr ftp://localhost:21",
        "--agent-addr http://localhost:0",
        "--agent-addr http://localhost:8080/status",
        "--agent-addr http://admin:hunter2!@localhost:8080",
        "--agent-addr https://localhost:8443",
        "--agent-addr http://localhost:8080 --agent-tls-ca /etc/ca.pem",
        "--agent-addr localhost:8443 --agent-tls-ca /etc/ca.pem --agent-tls-cert /etc/cert.pem",
        "--agent-addr localhost:8443 --agent-tls-ca /etc/ca.pem --agent-tls-key /etc/key.pem",
        "--agent-addr localhost:8080 --agent-poll-interval 3601",
        "--agent-poll-interval soon",
        "--agent-tls-cert /etc/cert.pem",
        "--auto-sync yes --listen tcp://x --iroh-udp-port -1",
        "--lisen tcp://0.0.0.0:1",
    ];
    let mut told = String::new();
    for line in lines {
        let error = words(line).expect_err(line).to_string();
        assert!(!error.contains("hunter2"), "a secret was repeated");
        told.push_str(&format!("$ peat-node {line}\n{}\n\n", error.split("\n\nFor").next().unwrap_or_default()));
    }
    insta::assert_snapshot!(told.replace("hunter2!", "(a secret)"));
}
