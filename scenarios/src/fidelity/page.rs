//! The page: tables, and beside each pair of figures how far apart they are. No script, and nothing from elsewhere.

use std::fmt::Write;

use super::{Fidelity, Row, Standing};
use crate::report::escape;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #8884;white-space:nowrap}\
th:first-child,td:first-child,td.why{text-align:left;white-space:normal}\
tr.phase th{text-align:left;padding-top:1rem}td.why{color:#777;font-size:.9em;border:0}\
.within{color:#2a7d3a}.explained{color:#a36a00}.outside{color:#c0202f;font-weight:bold}.few{color:#777}\
svg{vertical-align:middle}";

/// Half the width of the scale, in pixels: at its end a figure is three bands away.
const HALF: f64 = 60.0;

impl Fidelity {
    /// One self-contained page over some scenarios.
    pub fn html(all: &[Fidelity]) -> String {
        let mut out = String::new();
        let good = all.iter().filter(|one| one.holds()).count();
        let head = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
            <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">";
        let title = format!("{good} of {} as predicted", all.len());
        let _ = write!(out, "{head}<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>");
        out.push_str(
            "<p>Left of a scale's middle: less than predicted; the box is the band. What is beyond it is split into its parts.</p>",
        );
        for one in all {
            one.section(&mut out);
        }
        out.push_str("</body></html>\n");
        out
    }

    fn section(&self, out: &mut String) {
        let (name, purpose) = (escape(&self.scenario), escape(&self.purpose));
        let (sim, real) = (escape(&self.sim.name), escape(&self.real.name));
        let _ = write!(
            out,
            "<h2>{name}</h2><p>{purpose}</p><p>Seed {}; predicted by {sim}: {}; measured in {real}: {}.</p><table>\
             <thead><tr><th>figure</th><th>predicted</th><th>measured</th><th>error</th><th>band</th><th></th><th></th></tr></thead>",
            self.seed, self.sim.verdict, self.real.verdict
        );
        for phase in &self.phases {
            let _ = write!(out, "<tbody><tr class=\"phase\"><th colspan=\"7\">{}</th></tr>", escape(&phase.title()));
            for row in &phase.rows {
                row.markup(out);
            }
            out.push_str("</tbody>");
        }
        out.push_str("</table>");
        if !self.unmatched.is_empty() {
            let _ = write!(out, "<p>On one side only: {}.</p>", escape(&self.unmatched.join(", ")));
        }
    }
}

impl Row {
    fn markup(&self, out: &mut String) {
        let class = match self.standing {
            Standing::Within => "within",
            Standing::TooFew | Standing::Tail => "few",
            Standing::Explained => "explained",
            Standing::Outside => "outside",
        };
        out.push_str("<tr>");
        let cells = self.cells();
        let (standing, figures) = cells.split_last().expect("invariant: a row has cells");
        for text in figures {
            let _ = write!(out, "<td>{}</td>", escape(text));
        }
        let _ = write!(out, "<td>{}</td><td class=\"{class}\">{}</td></tr>", self.scale(), escape(standing));
        if !self.components.is_empty() {
            let _ = write!(out, "<tr><td class=\"why\" colspan=\"7\">{}</td></tr>", escape(&self.why()));
        }
    }

    /// Where the measured figure stands on a scale with the predicted one in the middle.
    fn scale(&self) -> String {
        let bands = match self.allowed > 0.0 {
            true => (self.real - self.sim) / self.allowed,
            false => 0.0,
        };
        // Never is as far as the scale goes; both never is where it was predicted.
        let bands = if bands.is_nan() { 0.0 } else { bands.clamp(-3.0, 3.0) };
        let (width, middle, at) = (2.0 * HALF, HALF, HALF + bands * HALF / 3.0);
        format!(
            "<svg width=\"{width:.0}\" height=\"14\" role=\"img\"><rect x=\"{:.0}\" y=\"3\" width=\"{:.0}\" height=\"8\" fill=\"#8884\"/>\
             <path d=\"M{middle:.0} 1v12\" stroke=\"#888\"/><circle cx=\"{at:.1}\" cy=\"7\" r=\"3.5\" fill=\"currentColor\"/></svg>",
            middle - HALF / 3.0,
            2.0 * HALF / 3.0
        )
    }
}
