//! The texts of the pages, from `messages/messages.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

const SOURCE: &str = include_str!("../../messages/messages.toml");

#[derive(Deserialize)]
struct Pair {
    zh: String,
    en: String,
}

fn all() -> &'static BTreeMap<String, BTreeMap<String, Pair>> {
    static ALL: OnceLock<BTreeMap<String, BTreeMap<String, Pair>>> = OnceLock::new();
    ALL.get_or_init(|| toml::from_str(SOURCE).unwrap_or_default())
}

/// The text of `group.key`; the key itself if there is none (a test finds such).
pub fn word(key: &str, english: bool) -> &str {
    let found = key.split_once('.').and_then(|(group, name)| all().get(group)?.get(name));
    match found {
        Some(pair) if english => &pair.en,
        Some(pair) => &pair.zh,
        None => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_stands_in_both_languages() {
        assert!(!all().is_empty(), "messages.toml parses");
        for (group, words) in all() {
            for (key, pair) in words {
                assert!(!pair.zh.is_empty(), "{group}.{key} has no Chinese");
                let allowed_empty = group == "badge" && key == "items";
                assert!(allowed_empty || !pair.en.is_empty(), "{group}.{key} has no English");
            }
        }
    }

    #[test]
    fn every_text_that_a_template_asks_for_exists() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split(".t(\"").skip(1) {
                let key = part.split('"').next().unwrap();
                assert_ne!(word(key, false), key, "{}: {key}", path.display());
            }
        }
    }
}
