//! What is written: telemetry of eight scalars, about 200 bytes, the size that the floors are measured with.

/// Collection of everything that is measured.
pub(crate) const COLLECTION: &str = "bench";

/// Compact JSON of about 200 bytes, different for every `n`.
pub(crate) fn telemetry(n: u64) -> String {
    let (lat, lon) = (n % 90, n % 180);
    format!(
        r#"{{"vessel":"ship-{n:06}","seq":{n},"lat":{lat}.25,"lon":{lon}.5,"speed_mps":7.5,"fuel_pct":{},"status":"under way","note":"{:016x} on station, all systems nominal, no contact"}}"#,
        n % 100,
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    )
}

/// The same, of which only one scalar differs from one `n` to the next.
pub(crate) fn scalar(n: u64) -> String {
    telemetry(0).replacen(r#""seq":0"#, &format!(r#""seq":{n}"#), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_about_two_hundred_bytes_of_json() {
        let text = telemetry(123_456);
        assert!((180..=220).contains(&text.len()), "{} bytes", text.len());
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(object.len(), 8);
    }
}
