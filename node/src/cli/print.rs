//! Answers for people: a table where there are rows, lines else.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// Widest cell of a table, in characters.
const CELL_CHARS_MAX: usize = 48;

/// A progress bar on the terminal; hidden where there is none.
pub fn progress() -> impl Fn(&str, u64, u64) + Send + Sync + 'static {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    move |what: &str, done: u64, total: u64| {
        let Ok(mut bar) = bar.lock() else { return };
        let bar = bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
            let bar = ProgressBar::new(total);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        bar.set_message(what.to_owned());
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }
}

/// Prints a line; a reader that went away (`| head`) has seen enough.
fn line(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Prints an answer.
pub fn answer(value: &Value, json: bool) {
    if json {
        line(&format!("{value:#}"));
        return;
    }
    let Value::Object(map) = value else {
        line(&cell(value));
        return;
    };
    for (key, value) in map.iter().filter(|(key, _)| *key != "rows") {
        line(&format!("{key}: {}", cell(value)));
    }
    if let Some(Value::Array(rows)) = map.get("rows") {
        table(rows);
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "—".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn width(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

/// Prints rows as an aligned table; the columns are the keys of the first row.
pub fn table(rows: &[Value]) {
    let Some(Value::Object(first)) = rows.first() else { return };
    let keys: Vec<&String> = first.keys().collect();
    let mut lines: Vec<Vec<String>> = vec![keys.iter().map(|key| (*key).clone()).collect()];
    for row in rows {
        let cells = keys.iter().map(|key| {
            let text = cell(row.get(key.as_str()).unwrap_or(&Value::Null));
            let short: String = text.chars().take(CELL_CHARS_MAX).collect();
            if short.len() < text.len() { format!("{short}…") } else { short }
        });
        lines.push(cells.collect());
    }
    let widths: Vec<usize> = (0..keys.len())
        .map(|at| lines.iter().map(|line| width(&line[at])).max().unwrap_or(0))
        .collect();
    for cells in lines {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(text, wide)| format!("{text}{}", " ".repeat(wide.saturating_sub(width(text)))));
        line(padded.collect::<Vec<_>>().join("  ").trim_end());
    }
}
