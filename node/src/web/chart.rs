//! Charts as SVG, drawn on the server: direct labels, bars from zero, a shape beside every colour.
//!
//! Pure: the same data give the same text. Every text is escaped; coordinates are whole pixels. Colours and
//! strokes are classes of `app.css`, because pages allow no inline styles. Links are `xlink:href`, which
//! Chromium before 50 knows too.

/// Width of every chart.
const WIDTH: i128 = 720;
/// Where bars begin, and how long the longest is.
const LEFT: i128 = 156;
const AREA: i128 = 400;
const ROW: i128 = 26;
/// Height of a trend's area, and where it begins.
const TREND_TOP: i128 = 28;
const TREND_AREA: i128 = 130;
const TREND_LEFT: i128 = 36;
/// Length of a whole progress bar.
const WHOLE: i128 = 560;
/// Up to so many places a tile carries its name, and up to so many a link and a title of its own.
const NAMED_MAX: usize = 60;
pub(super) const TITLED_MAX: usize = 300;
/// Tenths of an em that fit: beside a bar, in a named tile.
const BAR_LABEL: usize = 100;
const TILE_LABEL: usize = 58;

/// A text as HTML and SVG carry it, in attributes too.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // What XML has no place for.
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' => {}
            _ => safe.push(one),
        }
    }
    safe
}

/// A whole number with thousands separated.
pub(super) fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// A share as percent with one decimal, rounded half away from zero; none without a denominator.
pub(super) fn percent(part: i64, whole: i64) -> Option<String> {
    if whole == 0 {
        return None;
    }
    let (part, whole) = (i128::from(part), i128::from(whole));
    let tenths = (part.abs() * 2000 + whole.abs()) / (whole.abs() * 2);
    let sign = if (part < 0) != (whole < 0) && tenths > 0 { "-" } else { "" };
    Some(format!("{sign}{}.{} %", tenths / 10, tenths % 10))
}

/// Width of a text in tenths of an em: East Asian characters take a whole one.
fn tenths(text: &str) -> usize {
    text.chars().map(|one| if one.is_ascii() { 6 } else { 10 }).sum()
}

/// A text cut to a width.
fn fitted(text: &str, most: usize) -> String {
    if tenths(text) <= most {
        return text.to_owned();
    }
    let mut used = 10;
    let kept = text.chars().take_while(|one| {
        used += if one.is_ascii() { 6 } else { 10 };
        used <= most
    });
    kept.chain(['…']).collect()
}

fn linked(link: &str, title: &str, inside: &str) -> String {
    let title = match title {
        "" => String::new(),
        title => format!("<title>{}</title>", escaped(title)),
    };
    match link {
        "" => format!("<g>{title}{inside}</g>"),
        link => format!("<a xlink:href=\"{}\">{title}{inside}</a>", escaped(link)),
    }
}

fn framed(label: &str, height: i128, inside: &str) -> String {
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"group\" aria-label=\"{}\">{inside}</svg>",
        escaped(label)
    )
}

/// The facts of a chart as a table, for screen readers and paper.
pub(super) fn twin(caption: &str, heads: &[String], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, row: &[String]| -> String {
        row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
    };
    let body: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!(
        "<table class=\"twin\"><caption>{}</caption><tr>{}</tr>\n{body}</table>",
        escaped(caption),
        cells("th", heads)
    )
}

/// One bar.
pub(super) struct Bar {
    /// The name beside it.
    pub(super) label: String,
    /// Where the name leads; nowhere if empty.
    pub(super) drill: String,
    /// Its length; none if there are no data.
    pub(super) value: Option<i64>,
    /// The value as people read it.
    pub(super) shown: String,
    /// Where bar and value lead; nowhere if empty.
    pub(super) link: String,
}

/// Horizontal bars from a common zero, negative ones to the left of it.
pub(super) fn bars(label: &str, bars: &[Bar]) -> String {
    let values = || bars.iter().filter_map(|bar| bar.value).map(i128::from);
    let low = values().min().unwrap_or(0).min(0);
    let high = values().max().unwrap_or(0).max(0);
    let span = (high - low).max(1);
    let zero = LEFT - low * AREA / span;
    let mut inside = String::new();
    let mut top = 0;
    for bar in bars {
        let name = format!(
            "<text class=\"name\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 8,
            top + 18,
            escaped(&fitted(&bar.label, BAR_LABEL))
        );
        inside.push_str(&linked(&bar.drill, &bar.label, &name));
        let value = bar.value.map_or(0, i128::from);
        let length = match value.abs() * AREA / span {
            // What is there shows.
            0 if value != 0 => 1,
            length => length,
        };
        let (start, end) = if value < 0 { (zero - length, zero) } else { (zero, zero + length) };
        let shape = match bar.value {
            Some(_) => format!(
                "<rect class=\"bar{}\" x=\"{start}\" y=\"{}\" width=\"{length}\" height=\"18\"/>",
                if value < 0 { " minus" } else { "" },
                top + 4
            ),
            None => String::new(),
        };
        let text = format!(
            "{shape}<text x=\"{}\" y=\"{}\">{}</text>",
            end + 6,
            top + 18,
            escaped(&bar.shown)
        );
        inside.push_str(&linked(&bar.link, &format!("{}: {}", bar.label, bar.shown), &text));
        inside.push('\n');
        top += ROW;
    }
    inside.push_str(&format!("<path class=\"axis\" d=\"M{zero} 0v{}\"/>", top.max(ROW)));
    framed(label, top.max(ROW), &inside)
}

/// One month of a trend.
pub(super) struct Point {
    /// `2018-05`.
    pub(super) month: String,
    /// The sum of the month.
    pub(super) value: i64,
    /// The value as people read it.
    pub(super) shown: String,
    /// Where the point leads; nowhere if empty.
    pub(super) link: String,
}

/// A line over months with its zero. Every point has its value, unless they would run into each other:
/// then the greatest, the least and the last have theirs.
pub(super) fn trend(label: &str, points: &[Point]) -> String {
    let values = || points.iter().map(|point| i128::from(point.value));
    let low = values().min().unwrap_or(0).min(0);
    let high = values().max().unwrap_or(0).max(0);
    let span = (high - low).max(1);
    let steps = i128::try_from(points.len()).unwrap_or(1).max(2) - 1;
    let step = (WIDTH - 2 * TREND_LEFT) / steps;
    let height = |value: i128| TREND_TOP + (high - value) * TREND_AREA / span;
    let widest = points.iter().map(|point| tenths(&point.shown)).max().unwrap_or(0);
    let crowded = i128::try_from(widest).unwrap_or(0) * 13 / 10 > step;
    let speaks = |at: usize, value: i128| {
        !crowded || at + 1 == points.len() || value == high || value == low
    };
    let zero = height(0);
    let mut line = String::new();
    let mut marks = String::new();
    let mut x = TREND_LEFT;
    for (at, point) in points.iter().enumerate() {
        let y = height(i128::from(point.value));
        line.push_str(&format!("{}{x} {y}", if at == 0 { "M" } else { "L" }));
        let mut inside = format!("<circle class=\"point\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>");
        if speaks(at, i128::from(point.value)) {
            let shown = escaped(&point.shown);
            inside
                .push_str(&format!("<text class=\"mid\" x=\"{x}\" y=\"{}\">{shown}</text>", y - 9));
        }
        // The year once, and where it changes.
        let month = match point.month.split_once('-') {
            Some((_, month)) if at > 0 && month != "01" => month,
            _ => point.month.as_str(),
        };
        let title = format!("{}: {}", point.month, point.shown);
        marks.push_str(&linked(&point.link, &title, &inside));
        marks.push_str(&format!(
            "<text class=\"mid soft\" x=\"{x}\" y=\"{}\">{}</text>\n",
            TREND_TOP + TREND_AREA + 22,
            escaped(month)
        ));
        x += step;
    }
    let right = WIDTH - TREND_LEFT;
    let inside = format!(
        "<path class=\"axis\" d=\"M{TREND_LEFT} {zero}H{right}\"/><path class=\"line\" d=\"{line}\"/>{marks}"
    );
    framed(label, TREND_TOP + TREND_AREA + 30, &inside)
}

/// A share on its way to a target.
pub(super) struct Progress {
    /// Part and whole; none without data.
    pub(super) share: Option<(i64, i64)>,
    /// The share as people read it.
    pub(super) shown: String,
    /// Where the bar leads; nowhere if empty.
    pub(super) link: String,
    /// Percent to reach, and its words: target, milestones.
    pub(super) marks: Vec<(i64, String)>,
}

/// A bar out of a hundred percent with quarters, and marks at what is to be reached.
pub(super) fn progress(label: &str, progress: &Progress) -> String {
    let left = 20;
    let filled = match progress.share {
        Some((part, whole)) if whole > 0 => {
            (i128::from(part) * WHOLE / i128::from(whole)).clamp(0, WHOLE)
        }
        _ => 0,
    };
    let shown = escaped(&progress.shown);
    let inside = format!(
        "<rect class=\"whole\" x=\"{left}\" y=\"26\" width=\"{WHOLE}\" height=\"20\"/>\
         <rect class=\"bar\" x=\"{left}\" y=\"26\" width=\"{filled}\" height=\"20\"/>\
         <text x=\"{}\" y=\"41\">{shown}</text>",
        left + WHOLE + 8
    );
    let mut all = linked(&progress.link, &format!("{label}: {}", progress.shown), &inside);
    for quarter in 0..=4 {
        let x = left + WHOLE * quarter / 4;
        all.push_str(&format!(
            "<path class=\"axis\" d=\"M{x} 46v5\"/><text class=\"mid soft\" x=\"{x}\" y=\"64\">{}%</text>",
            quarter * 25
        ));
    }
    for (at, (reach, words)) in progress.marks.iter().enumerate() {
        let x = left + WHOLE * i128::from(*reach).clamp(0, 100) / 100;
        let y = if at % 2 == 0 { 16 } else { 80 };
        let anchor = if *reach > 50 { "end" } else { "start" };
        all.push_str(&format!(
            "<path class=\"aim\" d=\"M{x} 20v32\"/><text class=\"{anchor}\" x=\"{x}\" y=\"{y}\">{}</text>",
            escaped(words)
        ));
    }
    framed(label, 88, &all)
}

/// How a place stands on a tile map: a colour, and a shape that survives grey printing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Mark {
    /// A full square.
    Good,
    /// Half a square.
    Part,
    /// Two upright bars.
    Bad,
    /// A thin line: nothing is known.
    Unknown,
}

impl Mark {
    const ALL: [Self; 4] = [Self::Good, Self::Part, Self::Bad, Self::Unknown];

    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Part => "part",
            Self::Bad => "bad",
            Self::Unknown => "none",
        }
    }

    /// Its shape in a square.
    fn shape(self, x: usize, y: usize, size: usize) -> String {
        let path = match self {
            Self::Good => format!("M{x} {y}h{size}v{size}h-{size}z"),
            Self::Part => {
                let half = size / 2;
                format!("M{x} {}h{size}v{half}h-{size}z", y + size - half)
            }
            Self::Bad => {
                let bar = size / 3;
                let next = x + size - bar;
                format!("M{x} {y}h{bar}v{size}h-{bar}zM{next} {y}h{bar}v{size}h-{bar}z")
            }
            Self::Unknown => format!("M{x} {}h{size}v2h-{size}z", y + size / 2 - 1),
        };
        format!("<path class=\"m-{}\" d=\"{path}\"/>", self.class())
    }
}

/// One place.
pub(super) struct Tile {
    /// Its name.
    pub(super) name: String,
    /// State and age in words; not needed beyond [`TITLED_MAX`] places.
    pub(super) title: String,
    /// Where it leads; not needed beyond [`TITLED_MAX`] places.
    pub(super) link: String,
    /// How it stands.
    pub(super) mark: Mark,
}

/// The places below one parent.
pub(super) struct Group {
    /// The parent's name.
    pub(super) name: String,
    /// Where it leads.
    pub(super) link: String,
    /// Its places.
    pub(super) tiles: Vec<Tile>,
}

impl Group {
    /// How many places stand so.
    pub(super) fn count(&self, mark: Mark) -> usize {
        self.tiles.iter().filter(|tile| tile.mark == mark).count()
    }

    fn counts(&self, words: &[&str; 4]) -> String {
        let known = Mark::ALL.iter().zip(words).filter(|(mark, _)| self.count(**mark) > 0);
        let parts: Vec<String> =
            known.map(|(mark, word)| format!("{word} {}", self.count(*mark))).collect();
        parts.join(" · ")
    }
}

/// How tiles are laid out.
struct Grid {
    /// Width and height of a tile with its gap.
    across: usize,
    down: usize,
    /// Tiles in a row.
    per_row: usize,
}

fn named(tile: &Tile, x: usize, y: usize) -> String {
    let name = escaped(&fitted(&tile.name, TILE_LABEL));
    let mark = tile.mark.shape(x + 4, y + 7, 14);
    let frame =
        format!("<rect class=\"tile-frame\" x=\"{x}\" y=\"{y}\" width=\"98\" height=\"28\"/>");
    let text = format!("<text x=\"{}\" y=\"{}\">{name}</text>", x + 22, y + 19);
    linked(&tile.link, &format!("{} {}", tile.name, tile.title), &format!("{frame}{mark}{text}"))
}

/// Squares of one state as strokes whose dashes are the squares: a run of neighbours is one stroke.
fn strokes(group: &Group, mark: Mark, grid: &Grid, top: usize) -> String {
    let mut path = String::new();
    let mut at = 0;
    while at < group.tiles.len() {
        let row_end = (at / grid.per_row + 1) * grid.per_row;
        let run = group.tiles[at..group.tiles.len().min(row_end)]
            .iter()
            .take_while(|tile| tile.mark == mark)
            .count();
        if run > 0 {
            let x = at % grid.per_row * grid.across;
            let y = top + at / grid.per_row * grid.down + 4;
            path.push_str(&format!("M{x} {y}h{}", run * grid.across - 1));
        }
        at += run.max(1);
    }
    if path.is_empty() {
        return path;
    }
    format!("<path class=\"r-{}\" d=\"{path}\"/>", mark.class())
}

/// A tile map: one square a place, grouped by parent, each group with its counts and its link. Few places
/// carry their names, more a title and a link each; beyond [`TITLED_MAX`] the groups lead on.
pub(super) fn tiles(label: &str, groups: &[Group], words: &[&str; 4]) -> String {
    let total: usize = groups.iter().map(|group| group.tiles.len()).sum();
    let grid = match total {
        0..=NAMED_MAX => Grid { across: 102, down: 32, per_row: 7 },
        _ if total <= TITLED_MAX => Grid { across: 18, down: 18, per_row: 40 },
        _ => Grid { across: 9, down: 9, per_row: 80 },
    };
    let mut inside = String::new();
    let mut x = 0;
    for (mark, word) in Mark::ALL.iter().zip(words) {
        let count: usize = groups.iter().map(|group| group.count(*mark)).sum();
        let text = format!("{word} {count}");
        inside.push_str(&mark.shape(x, 4, 14));
        inside.push_str(&format!("<text x=\"{}\" y=\"16\">{}</text>", x + 20, escaped(&text)));
        x += 44 + tenths(&text) * 14 / 10;
    }
    let mut top = 30;
    for group in groups {
        let head = format!("{} {}: {}", group.name, group.tiles.len(), group.counts(words));
        let text = format!("<text x=\"0\" y=\"{}\">{}</text>", top + 15, escaped(&head));
        inside.push_str(&linked(&group.link, "", &text));
        top += 22;
        for (at, tile) in group.tiles.iter().enumerate().filter(|_| total <= TITLED_MAX) {
            let (x, y) = (at % grid.per_row * grid.across, top + at / grid.per_row * grid.down);
            inside.push_str(&match total {
                0..=NAMED_MAX => named(tile, x, y),
                _ => {
                    let title = format!("{} {}", tile.name, tile.title);
                    linked(&tile.link, &title, &tile.mark.shape(x, y, 15))
                }
            });
        }
        if total > TITLED_MAX {
            let all = Mark::ALL.iter().map(|mark| strokes(group, *mark, &grid, top));
            inside.extend(all);
        }
        inside.push('\n');
        top += group.tiles.len().div_ceil(grid.per_row) * grid.down + 8;
    }
    framed(label, i128::try_from(top).unwrap_or(WIDTH), &inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 4] = ["正常", "待核", "失联", "未知"];

    fn bar(label: &str, value: Option<i64>) -> Bar {
        let shown = value.map_or_else(|| "—".to_owned(), grouped);
        Bar { label: label.into(), drill: String::new(), value, shown, link: String::new() }
    }

    fn group(name: &str, count: usize, marks: &[Mark]) -> Group {
        let tiles = (0..count).map(|at| Tile {
            name: format!("第{at}村"),
            title: "3天前".into(),
            link: format!("/overview?place={at:016x}"),
            mark: marks[at % marks.len()],
        });
        Group { name: name.into(), link: "/overview?place=ab".into(), tiles: tiles.collect() }
    }

    /// The value of an attribute of the first element with a class.
    fn attribute(svg: &str, class: &str, name: &str) -> i64 {
        let element = svg.split(&format!("class=\"{class}\"")).nth(1).unwrap();
        let value = element.split(&format!("{name}=\"")).nth(1).unwrap();
        value.split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn every_text_is_escaped_wherever_it_stands() {
        let bad = "<script>\"'&\u{1}";
        let mut one = bar(bad, Some(1));
        one.shown = bad.into();
        one.link = format!("/x?a={bad}");
        let point =
            Point { month: bad.into(), value: 1, shown: bad.into(), link: format!("/x?{bad}") };
        let way = Progress {
            share: Some((1, 2)),
            shown: bad.into(),
            link: format!("/x?{bad}"),
            marks: vec![(70, bad.into())],
        };
        let mut two = group(bad, 2, &[Mark::Good]);
        two.tiles[0].name = bad.into();
        two.tiles[0].title = bad.into();
        two.tiles[0].link = bad.into();
        let words = [bad; 4];
        for svg in [
            bars(bad, &[one]),
            trend(bad, &[point]),
            progress(bad, &way),
            tiles(bad, &[two], &words),
            twin(bad, &[bad.to_owned()], &[vec![bad.to_owned()]]),
        ] {
            assert!(!svg.contains("<script") && !svg.contains('\u{1}'), "{svg}");
            // Outside of tags there is no quote left; inside, every second one closes an attribute.
            assert!(svg.matches('"').count().is_multiple_of(2), "{svg}");
        }
    }

    #[test]
    fn bars_begin_at_zero_and_grow_with_their_values() {
        let svg = bars("问题", &[bar("甲", Some(50)), bar("乙", Some(100)), bar("丙", None)]);
        assert_eq!(attribute(&svg, "bar", "x"), 156);
        assert_eq!(attribute(&svg, "bar", "width"), 200);
        assert_eq!(svg.matches("class=\"bar\"").count(), 2, "no data, no bar");
        assert!(svg.contains("—"));
    }

    #[test]
    fn negative_differences_go_to_the_left_of_zero() {
        let svg = bars("差", &[bar("甲", Some(-100)), bar("乙", Some(300))]);
        assert_eq!(attribute(&svg, "bar minus", "x"), 156);
        assert_eq!(attribute(&svg, "bar minus", "width"), 100);
        assert_eq!(attribute(&svg, "bar", "x"), 256);
        let all = bars("差", &[bar("甲", Some(i64::MIN)), bar("乙", Some(i64::MAX))]);
        assert_eq!(attribute(&all, "bar", "width"), 199);
    }

    #[test]
    fn zero_and_nothing_draw_without_dividing_by_it() {
        let svg = bars("零", &[bar("甲", Some(0))]);
        assert_eq!(attribute(&svg, "bar", "width"), 0);
        assert!(bars("空", &[]).starts_with("<svg"));
        assert!(trend("空", &[]).starts_with("<svg"));
        assert!(tiles("空", &[], &WORDS).starts_with("<svg"));
        let none =
            Progress { share: None, shown: "—".into(), link: String::new(), marks: Vec::new() };
        assert_eq!(attribute(&progress("空", &none), "bar", "width"), 0);
        let over = Progress { share: Some((5, 4)), ..none };
        assert_eq!(attribute(&progress("满", &over), "bar", "width"), 560);
    }

    #[test]
    fn a_trend_labels_every_month_or_what_stands_out() {
        let points = |shown: fn(i64) -> String| -> Vec<Point> {
            (1..=12)
                .map(|month: i64| Point {
                    month: format!("2018-{month:02}"),
                    value: (month - 6) * 100,
                    shown: shown(month),
                    link: format!("/ledgers/x?from=2018-{month:02}"),
                })
                .collect()
        };
        let plain = trend("登记", &points(|month| month.to_string()));
        assert_eq!(plain.matches("<circle").count(), 12);
        assert_eq!(plain.matches("class=\"mid\"").count(), 12);
        let crowded = trend("金额", &points(|_| "1,234,567.00".into()));
        assert_eq!(
            crowded.matches("class=\"mid\"").count(),
            2,
            "least and greatest, which is last"
        );
        assert_eq!(crowded.matches("<a ").count(), 12);
    }

    #[test]
    fn shares_are_rounded_and_signed() {
        for (part, whole, text) in [
            (8, 30, Some("26.7 %")),
            (0, 5, Some("0.0 %")),
            (-1, 3, Some("-33.3 %")),
            (1, 0, None),
            (i64::MAX, i64::MAX, Some("100.0 %")),
        ] {
            assert_eq!(percent(part, whole).as_deref(), text);
        }
        assert_eq!(grouped(-1_234_567), "-1,234,567");
        assert_eq!(grouped(123), "123");
    }

    #[test]
    fn few_places_have_names_more_have_links_and_all_of_a_city_have_squares() {
        let named = tiles("镇", &[group("道口乡", 25, &Mark::ALL)], &WORDS);
        assert!(named.contains("第24村") && named.contains("tile-frame"));
        let titled = tiles("县", &[group("甲乡", 150, &Mark::ALL)], &WORDS);
        assert_eq!(titled.matches("<a ").count(), 151);
        let sizes = [440, 440, 440, 440, 440, 440, 440, 440, 440, 440, 434];
        let city: Vec<Group> = sizes.iter().map(|size| group("县", *size, &Mark::ALL)).collect();
        assert_eq!(city.iter().map(|one| one.tiles.len()).sum::<usize>(), 4834);
        let worst = tiles("市", &city, &WORDS);
        println!("{} bytes for 4,834 squares of four states by turns", worst.len());
        assert!(worst.len() < 80 * 1024, "{}", worst.len());
        assert_eq!(worst.matches("<a ").count(), 11, "groups lead on");
        let usual: Vec<Group> =
            sizes.iter().map(|size| group("县", *size, &[Mark::Good])).collect();
        assert!(tiles("市", &usual, &WORDS).len() < 8 * 1024);
    }

    #[test]
    fn strokes_cover_each_square_once() {
        let one = group("县", 83, &[Mark::Good, Mark::Good, Mark::Bad]);
        let grid = Grid { across: 9, down: 9, per_row: 80 };
        let squares = |mark: Mark| -> usize {
            let path = strokes(&one, mark, &grid, 0);
            let lengths = path.split('h').skip(1);
            let length = |text: &str| -> usize {
                let digits = text.chars().take_while(char::is_ascii_digit);
                digits.collect::<String>().parse().unwrap()
            };
            lengths
                .filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))
                .map(|text| (length(text) + 1) / 9)
                .sum()
        };
        assert_eq!(squares(Mark::Good), one.count(Mark::Good));
        assert_eq!(squares(Mark::Bad), one.count(Mark::Bad));
        assert_eq!(strokes(&one, Mark::Part, &grid, 0), "");
    }
}
