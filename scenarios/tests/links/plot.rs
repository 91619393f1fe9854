//! A small line plot as SVG. Written here because a plotting crate would bring a dozen others for five pictures, and the
//! pictures are compared letter by letter.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 52.0;

/// Okabe and Ito's colours, which colour-blind people can tell apart; the second half is dashed.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000"];

pub struct Axis {
    pub label: &'static str,
    pub log: bool,
    /// Ticks with their words; the first and the last are the ends.
    pub ticks: Vec<(f64, &'static str)>,
}

pub struct Plot {
    pub title: &'static str,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<(String, Vec<(f64, f64)>)>,
}

impl Axis {
    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.log { libm::log10(value) } else { value };
        let (first, last) = (scale(self.ticks[0].0), scale(self.ticks[self.ticks.len() - 1].0));
        ((scale(value) - first) / (last - first)).clamp(0.0, 1.0)
    }
}

impl Plot {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        (LEFT + self.x.place(x) * width, HEIGHT - BOTTOM - self.y.place(y) * height)
    }

    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<title>{}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            self.title
        );
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut line = |text: String| svg.push_str(&format!("{text}\n"));
        line(format!("<text x=\"{LEFT}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}</text>", self.title));
        for (value, word) in &self.x.ticks {
            let x = LEFT + self.x.place(*value) * (right - LEFT);
            line(format!("<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#dddddd\"/>"));
            line(format!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{word}</text>", bottom + 16.0));
        }
        for (value, word) in &self.y.ticks {
            let y = bottom - self.y.place(*value) * (bottom - TOP);
            line(format!("<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#dddddd\"/>"));
            line(format!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{word}</text>", LEFT - 6.0, y + 4.0));
        }
        let middle = (LEFT + right) / 2.0;
        line(format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - 12.0, self.x.label));
        let middle = (TOP + bottom) / 2.0;
        line(format!(
            "<text x=\"16\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {middle})\">{}</text>",
            self.y.label
        ));
        for (number, (name, points)) in self.series.iter().enumerate() {
            let dash = if number >= COLOURS.len() { " stroke-dasharray=\"5 3\"" } else { "" };
            let stroke = format!("stroke=\"{}\" stroke-width=\"1.6\"{dash}", COLOURS[number % COLOURS.len()]);
            let mut path = String::new();
            for (position, point) in points.iter().enumerate() {
                let (x, y) = self.at(*point);
                write!(path, "{}{x:.1} {y:.1}", if position == 0 { "M" } else { "L" }).unwrap();
            }
            line(format!("<path d=\"{path}\" fill=\"none\" {stroke}/>"));
            let y = TOP + 10.0 + 18.0 * number as f64;
            line(format!("<path d=\"M{:.1} {y:.1}h22\" {stroke}/>", right + 10.0));
            line(format!("<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", right + 38.0, y + 4.0));
        }
        svg.push_str("</svg>\n");
        svg
    }
}
