//! The HTML report in a real browser: a run of 30 nodes, opened in headless Chromium, tests itself (`#selftest`).
//!
//! Where there is no Chromium, the test says so and checks the size alone; `ci/browser` installs one if it can.

#![allow(clippy::unwrap_used)]

mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Bar of the report: what a person does not notice as waiting, and what a mail server takes.
const READY_MS: u64 = 2_000;
const BYTES: u64 = 5_000_000;

/// The browser may be slow to start where six builds go on at once; what is measured is the page's own clock.
const PATIENCE: Duration = Duration::from_secs(120);

fn chromium() -> Option<PathBuf> {
    let chosen = std::env::var_os("PEAT_CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).flat_map(|place| {
        ["chromium", "chromium-browser", "google-chrome", "headless_shell"].map(|name| place.join(name))
    });
    chosen.into_iter().chain(found).find(|program| program.is_file())
}

/// The document after its scripts ran.
fn dumped(browser: &Path, place: &Path, page: &Path) -> String {
    let profile = place.join("profile");
    let url = format!("file://{}#selftest", page.display());
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--window-size=1440,1400", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut stdout, &mut text).unwrap();
        let _ = send.send(());
        String::from_utf8_lossy(&text).into_owned()
    });
    if receive.recv_timeout(PATIENCE).is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    reader.join().unwrap()
}

#[test]
fn a_run_of_thirty_nodes_opens_draws_its_lanes_and_obeys_the_keys() {
    let place = terminal::fresh("browser");
    let page = place.join("report.html");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/fleet-of-thirty.toml");
    let run = terminal::ddil(&["run", scenario, "--html"]).arg(&page).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    let bytes = fs::metadata(&page).unwrap().len();
    assert!(bytes < BYTES, "{bytes} bytes");
    let Some(browser) = chromium() else {
        eprintln!(
            "SKIPPED in part: no Chromium (ci/browser installs it); the page has {bytes} bytes and was NOT opened"
        );
        return;
    };
    let dom = dumped(&browser, &place, &page);
    let result = dom.split_once("<pre id=\"selftest\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (result, _) = result.unwrap_or_else(|| panic!("the page did not test itself: {} bytes of DOM", dom.len()));
    // The only escapes of a text in HTML.
    let result = result.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let result: Value = serde_json::from_str(&result).unwrap();
    let failed: Vec<&Value> =
        result["results"].as_array().unwrap().iter().filter(|check| check["good"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(result["results"].as_array().unwrap().len() >= 16, "{result:#}");
    assert_eq!(result["nodes"], 30);
    let ready = result["ready_ms"].as_u64().unwrap();
    println!("{bytes} bytes, ready after {ready} ms, of which scripts {} ms", result["script_ms"]);
    assert!(ready < READY_MS, "ready after {ready} ms");
}
