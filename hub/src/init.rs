//! `init`: the root, the city's hub, the places and the catalogue.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use taizhang_core::id::{Level, PlaceId, ReplicaId};
use taizhang_core::place::import::{PlaceRow, PlaceSeed, check};
use taizhang_core::place::{Dated, Place};
use taizhang_node::cli::Options;
use taizhang_node::driver::clock;
use taizhang_node::driver::machine::{chance, outside};
use taizhang_node::engine::Engine;
use taizhang_node::identity::found::found;
use taizhang_node::identity::keys::{Identity, save_root_key};

/// The real tree, kept in the project.
pub const SHANGQIU: &str = include_str!("../../deploy/places/shangqiu.csv");

/// How to found a network.
#[derive(Args, Clone, Debug)]
pub struct InitArgs {
    /// Table of places (code,name,parent_code,level); the real Shangqiu if absent
    #[arg(long)]
    pub places: Option<PathBuf>,
    /// First day on which codes and names hold
    #[arg(long, default_value = "2018-01-01")]
    pub from: String,
    /// Where to write the encrypted root key; keep it off-line
    #[arg(long, default_value = "root-key.json")]
    pub root_key: PathBuf,
    /// Password of the root key file
    #[arg(long, env = "TAIZHANG_ROOT_PASSWORD", hide_env_values = true)]
    pub password: String,
}

/// Reads a table of places; every bad row is named with its line and reason.
///
/// # Errors
///
/// All bad rows; then nothing is imported.
pub fn read_places(name: &str, text: &str) -> Result<Vec<PlaceSeed>, String> {
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1_u64..);
    let header = lines.next().map(|(line, _)| line.trim()).unwrap_or_default();
    if header != "code,name,parent_code,level" {
        return Err(format!("{name}: line 1: the header must be code,name,parent_code,level"));
    }
    for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(|cell| cell.trim().trim_matches('"')).collect();
        match cells.as_slice() {
            [code, place, parent_code, level] => rows.push(PlaceRow {
                line: number,
                code: (*code).to_owned(),
                name: (*place).to_owned(),
                parent_code: (*parent_code).to_owned(),
                level: (*level).to_owned(),
            }),
            _ => errors.push(format!("{name}: line {number}: {} cells, not 4", cells.len())),
        }
    }
    match check(&rows) {
        Ok(seeds) if errors.is_empty() => Ok(seeds),
        Ok(_) => Err(errors.join("\n")),
        Err(bad) => {
            errors.extend(bad.iter().map(|error| format!("{name}: {error}")));
            Err(errors.join("\n"))
        }
    }
}

/// The city, and for every place that has children its children.
pub struct Seeded {
    /// The city.
    pub city: Place,
    /// Parents before children.
    pub children: Vec<(PlaceId, Vec<Place>)>,
}

/// Gives seeds their stable, opaque ids.
pub fn seed_tree(
    seeds: &[PlaceSeed],
    from: &str,
    mut random: impl FnMut(&mut [u8]),
) -> Option<Seeded> {
    let dated = |value: &str| vec![Dated { from: from.to_owned(), value: value.to_owned() }];
    let places: Vec<Place> = seeds
        .iter()
        .map(|seed| {
            let mut id = PlaceId::default();
            random(&mut id.0);
            let (names, codes) = (dated(&seed.name), dated(&seed.code));
            Place { id, level: seed.level, names, codes }
        })
        .collect();
    let city = places.iter().find(|place| place.level == Level::City)?.clone();
    let mut children: Vec<(PlaceId, Vec<Place>)> = Vec::new();
    for level in [Level::City, Level::County, Level::Township] {
        for (at, parent) in places.iter().enumerate().filter(|(_, one)| one.level == level) {
            let below: Vec<Place> = seeds
                .iter()
                .zip(&places)
                .filter(|(seed, _)| seed.parent == Some(at))
                .map(|(_, place)| place.clone())
                .collect();
            if !below.is_empty() {
                children.push((parent.id, below));
            }
        }
    }
    Some(Seeded { city, children })
}

/// Founds a network in the data folder.
///
/// # Errors
///
/// What is wrong with places, folder or password.
pub fn init(args: &InitArgs, options: &Options) -> Result<Value, String> {
    if Identity::exists(&options.data) {
        return Err(format!("{} holds a replica already", options.data.display()));
    }
    if args.password.chars().count() < 8 {
        return Err("the password of the root key needs 8 characters or more".into());
    }
    let seeds = match &args.places {
        None => read_places("shangqiu.csv", SHANGQIU)?,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            read_places(&path.display().to_string(), &text)?
        }
    };
    let mut random = chance();
    let seeded = seed_tree(&seeds, &args.from, &mut *random).ok_or("the table names no city")?;
    let total = found_folder(&options.data, &seeded, &args.root_key, &args.password)?;
    Ok(json!({
        "city": seeded.city.name(),
        "places": seeds.len(),
        "segments": total,
        "root_key": args.root_key,
        "next": "keep the root key file off-line; then `run --listen` and `invite`",
    }))
}

fn found_folder(
    data: &Path,
    seeded: &Seeded,
    root_key: &Path,
    password: &str,
) -> Result<u64, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let now = clock::now();
    let mut random = chance();
    let (mut replica, mut seal) = (ReplicaId::default(), [0; 32]);
    random(&mut replica.0);
    random(&mut seal);
    let founded =
        found(seeded.city.id, replica, seal, now.0 / 1000).map_err(|error| text(&error))?;
    save_root_key(root_key, &founded.root_key_pem, password).map_err(|error| text(&error))?;
    let identity = founded.identity;
    let mut engine =
        Engine::open(data, identity.clone(), outside(data), now).map_err(|error| text(&error))?;
    engine.begin().map_err(|error| text(&error))?;
    let parts = taizhang_core::base_catalogue();
    engine.found_city(&seeded.city, &seeded.children, &parts, now).map_err(|error| text(&error))?;
    engine.commit().map_err(|error| text(&error))?;
    let total = engine.store.last_arrival().map_err(|error| text(&error))?;
    identity.save(data).map_err(|error| text(&error))?;
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_tree_is_read_whole() {
        let seeds = read_places("shangqiu.csv", SHANGQIU).unwrap();
        let of = |level: Level| seeds.iter().filter(|seed| seed.level == level).count();
        let counts = (of(Level::City), of(Level::County), of(Level::Township), of(Level::Village));
        assert_eq!(counts, (1, 11, 199, 4834));
        let mut next = 0_u64;
        let seeded = seed_tree(&seeds, "2018-01-01", |bytes| {
            next += 1;
            bytes.copy_from_slice(&next.to_be_bytes());
        });
        assert_eq!(seeded.unwrap().children.len(), 1 + 11 + 199);
    }

    #[test]
    fn bad_rows_are_named_and_nothing_is_imported() {
        let text = "code,name,parent_code,level\n411400000000,市,41,city\n4114,x,y\n";
        let error = read_places("p.csv", text).err().unwrap();
        assert!(error.contains("p.csv: line 3: 3 cells"), "{error}");
    }
}
