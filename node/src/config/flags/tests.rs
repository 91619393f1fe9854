use super::*;

const ID: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

fn words(line: &str) -> Result<Settings, FlagsError> {
    read(std::iter::once("peat-node").chain(line.split_whitespace()))
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
        ("peer", "PEERS"),
        ("iroh-udp-port", "IROH_UDP_PORT"),
        ("auto-sync", "AUTO_SYNC"),
        ("encryption-key", "ENCRYPTION_KEY"),
        ("agent-addr", "AGENT_ADDR"),
        ("agent-poll-interval", "AGENT_POLL_INTERVAL"),
        ("agent-tls-cert", "AGENT_TLS_CERT"),
        ("agent-tls-key", "AGENT_TLS_KEY"),
        ("agent-tls-ca", "AGENT_TLS_CA"),
        ("discovery-mode", "DISCOVERY_MODE"),
        ("discovery-service", "DISCOVERY_SERVICE"),
        ("discovery-interval", "DISCOVERY_INTERVAL"),
    ];
    for (flag, name) in pairs {
        assert_eq!(variable(&format!("--{flag}")), format!("PEAT_NODE_{name}"));
    }
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = words("").expect("no flag is required");
    assert_eq!(settings.listen.to_string(), "tcp://0.0.0.0:50051");
    assert_eq!(settings.data_dir, PathBuf::from("/data/peat-node"));
    assert_eq!(settings.formation, Formation { app_id: "peat-default".into(), shared_key: None });
    assert!(settings.node_id.is_none() && settings.peers.is_empty() && settings.auto_sync);
    assert_eq!(settings.mesh_port, 0);
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
fn every_bad_flag_is_explained() {
    let lines = [
        "--listen localhost:50051",
        "--data-dir=",
        "--node-id=",
        "--app-id=",
        "--shared-key hunter2!",
        "--shared-key c2hvcnQ=",
        "--peer 10.0.0.7:7777",
        "--peer abc@10.0.0.7:7777",
        &format!("--peer 02{}@10.0.0.7:7777", "0".repeat(62)),
        &format!("--peer {ID}@10.0.0.7"),
        &format!("--peer {ID}@10.0.0.7:0"),
        "--iroh-udp-port 70000",
        "--auto-sync yes",
        "--interest tracks,/x",
        "--class tracks",
        "--class tracks=urgent",
        "--discovery-mode mdns",
        "--discovery-mode carrier-pigeon",
        "--discovery-service peers.example",
        "--discovery-interval 0",
        "--encryption-key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "--encryption-key hunter2!",
        "--agent-addr localhost:8443",
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
