//! Percentiles as a picture: latency over the share of requests that are faster, both logarithmic.
//!
//! Written by hand as SVG, since a few lines and labels are all there is to it.

use std::fmt::Write;

use hdrhistogram::Histogram;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 48.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
/// Told apart by eyes that see no red or no green as well (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A curve for each histogram of microseconds.
pub(crate) fn percentiles(curves: &[(&str, &Histogram<u64>)]) -> String {
    let scale = Scale::of(curves);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#333\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    axes(&scale, &mut svg);
    for (index, (name, latency)) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        curve(&scale, latency, colour, &mut svg);
        let (x, y) = (LEFT + 20.0, TOP + 20.0 + 20.0 * index as f64);
        let name = escaped(name);
        line(&mut svg, (x, y - 4.0), (x + 25.0, y - 4.0), colour, 3.0);
        text(&mut svg, (x + 33.0, y), "start", &name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where values and shares lie on the paper.
struct Scale {
    /// Powers of ten of milliseconds.
    low: i32,
    high: i32,
    /// How many nines the largest share has.
    nines: i32,
}

impl Scale {
    fn of(curves: &[(&str, &Histogram<u64>)]) -> Scale {
        let filled =
            || curves.iter().map(|(_, latency)| latency).filter(|latency| !latency.is_empty());
        let least =
            filled().map(|latency| latency.value_at_quantile(0.1).max(1)).min().unwrap_or(1);
        let most = filled().map(|latency| latency.max()).max().unwrap_or(10).max(10);
        let count = filled().map(|latency| latency.len()).max().unwrap_or(10).max(10);
        let low = (least as f64 / 1000.0).log10().floor() as i32;
        let high = (most as f64 / 1000.0).log10().ceil() as i32;
        // The last curve reaches as far as its number of requests tells anything.
        let nines = ((count as f64).log10().ceil() as i32).clamp(2, 6);
        Scale { low, high: high.max(low + 1), nines }
    }

    fn x(&self, quantile: f64) -> f64 {
        let nines = -(1.0 - quantile).max(1e-12).log10();
        let share = (nines / f64::from(self.nines)).min(1.0);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, milliseconds: f64) -> f64 {
        let share = (milliseconds.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

fn axes(scale: &Scale, svg: &mut String) {
    for power in scale.low..=scale.high {
        let value = 10_f64.powi(power);
        let y = scale.y(value);
        line(svg, (LEFT, y), (WIDTH - RIGHT, y), "#bbb", 1.0);
        text(svg, (LEFT - 8.0, y + 4.0), "end", &format!("{value} ms"));
        if power < scale.high {
            for step in 2..10 {
                let y = scale.y(value * f64::from(step));
                line(svg, (LEFT, y), (WIDTH - RIGHT, y), "#eee", 0.5);
            }
        }
    }
    for nines in 0..=scale.nines {
        let quantile = 1.0 - 10_f64.powi(-nines);
        let x = scale.x(quantile);
        line(svg, (x, TOP), (x, HEIGHT - BOTTOM), "#bbb", 1.0);
        let decimals = usize::try_from(nines - 2).unwrap_or(0);
        let label = format!("{:.decimals$} %", quantile * 100.0);
        text(svg, (x, HEIGHT - BOTTOM + 20.0), "middle", &label);
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    text(svg, (middle, HEIGHT - 15.0), "middle", "share of requests that were answered within");
    text(svg, (LEFT, TOP - 20.0), "start", "latency, milliseconds");
}

fn curve(scale: &Scale, latency: &Histogram<u64>, colour: &str, svg: &mut String) {
    if latency.is_empty() {
        return;
    }
    let steps = 600;
    let points: Vec<String> = (0..=steps)
        .map(|step| {
            let nines = f64::from(scale.nines) * f64::from(step) / f64::from(steps);
            let quantile = 1.0 - 10_f64.powf(-nines);
            let value = latency.value_at_quantile(quantile).max(1) as f64 / 1000.0;
            format!("{:.1},{:.1}", scale.x(quantile), scale.y(value))
        })
        .collect();
    writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
        points.join(" ")
    )
    .expect("a string takes every write");
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
         stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    )
    .expect("a string takes every write");
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{words}</text>",
        at.0, at.1
    )
    .expect("a string takes every write");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
