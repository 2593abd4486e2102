//! Founding: a tree of any size, the hub that is measured, and its children's certificates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use taizhang_core::directives::Directives;
use taizhang_core::id::{Epoch, Level, PlaceId, SealKey};
use taizhang_core::sync::session::SessionConfig;
use taizhang_core::time::UtcMillis;
use taizhang_hub::demo::process::Office;
use taizhang_node::driver::clock;
use taizhang_node::driver::machine::outside;
use taizhang_node::engine::Engine;
use taizhang_node::identity::found::NewKeys;
use taizhang_node::identity::keys::Identity;

use super::chains::Keys;
use super::{Plan, words};
use crate::chance::Dice;

const CITY: &str = "411400000000";
const COUNTIES: usize = 11;
/// Townships and villages of the real city: a tree of another size keeps their proportion.
const REAL: (usize, usize) = (199, 4834);
/// Villages of one township that codes have room for.
const VILLAGES_OF_TOWNSHIP_MAX: usize = 790;

/// A direct child of the hub, played here.
pub struct Child {
    /// Keys and certificates for its link.
    pub identity: Identity,
    /// What it seals with.
    pub keys: Keys,
    /// What the hub holds for it when both begin, as the hub's session states it.
    pub config: SessionConfig,
}

/// A network before anything was written in it.
pub struct Founded {
    /// The hub; it does not run yet.
    pub office: Office,
    /// Its seal key.
    pub key: SealKey,
    /// What the hub's directives say.
    pub directives: Arc<Directives>,
    /// Its children, by code.
    pub children: Vec<Child>,
    /// When it was founded.
    pub now: UtcMillis,
}

/// A table of places as `init` takes it.
///
/// # Errors
///
/// If codes have no room for so many villages.
pub fn table(level: Level, villages: usize) -> Result<String, String> {
    let counties = if level == Level::City { COUNTIES.min(villages) } else { 1 };
    let towns = ((villages * REAL.0).div_ceil(REAL.1)).max(counties);
    if villages == 0 || villages > towns * VILLAGES_OF_TOWNSHIP_MAX {
        return Err(format!("a tree of {villages} villages cannot be made"));
    }
    let mut text = format!("code,name,parent_code,level\n{CITY},样本市,410000000000,city\n");
    let county = |at: usize| format!("4114{:02}", 21 + at);
    let mut add = |code: String, name: String, parent: &str, level: &str| {
        // Writing to a text does not fail.
        text.push_str(&format!("{code},{name},{parent},{level}\n"));
    };
    for at in 0..counties {
        add(format!("{}000000", county(at)), format!("样本{}县", at + 1), CITY, "county");
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut number = |parent: &str| {
        let count = seen.entry(parent.to_owned()).or_default();
        *count += 1;
        *count
    };
    let mut codes = Vec::with_capacity(towns);
    for at in 0..towns {
        let above = county(at * counties / towns);
        let nth = number(&above);
        let code = format!("{above}{:03}", 100 + nth);
        let name = format!("样本{nth}乡");
        add(format!("{code}000"), name, &format!("{above}000000"), "township");
        codes.push(code);
    }
    for at in 0..villages {
        let above = &codes[at * towns / villages];
        let nth = number(above);
        let code = format!("{above}{:03}", 200 + nth);
        add(code, format!("样本{nth}村"), &format!("{above}000"), "village");
    }
    Ok(text)
}

fn open(folder: &Path, identity: Identity, now: UtcMillis) -> Result<Engine, String> {
    Engine::open(folder, identity, outside(folder), now).map_err(words)
}

/// Founds the network in `folder` and admits the hub's children.
///
/// # Errors
///
/// What `init`, or the hub's engine, refuses.
pub fn found(plan: &Plan, folder: &Path) -> Result<Founded, String> {
    let places = folder.join("places.csv");
    std::fs::write(&places, table(plan.level, plan.villages)?).map_err(words)?;
    let city = Office::new("city", CITY, &folder.join("city"), true);
    let (places, root_key) = (places.to_string_lossy(), folder.join("root-key.json"));
    let root_key = root_key.to_string_lossy();
    let password = "bench password";
    city.once(&["init", "--places", &places, "--root-key", &root_key, "--password", password])?;
    let now = clock::now();
    let mut dice = Dice::new(plan.seed, "bench network");
    let identity = Identity::load(&city.folder).map_err(words)?;
    let mut engine = open(&city.folder, identity, now)?;
    if plan.level == Level::City {
        return admit_all(engine, city, now, &mut dice);
    }
    let tree = &engine.directives.tree;
    let county = tree.children(engine.place()).first().copied().ok_or("a tree without a county")?;
    let code = tree.place(county).map(|place| place.code().to_owned()).unwrap_or_default();
    let identity = admit(&mut engine, county, now, &mut dice)?;
    let office = Office::new("county", &code, &folder.join("county"), true);
    let county = county_engine(&engine, &office.folder, identity, now)?;
    admit_all(county, office, now, &mut dice)
}

/// The county's replica with all directives of the city, as after its first sync.
fn county_engine(
    city: &Engine,
    folder: &Path,
    identity: Identity,
    now: UtcMillis,
) -> Result<Engine, String> {
    let (mut segments, mut after) = (Vec::new(), 0);
    loop {
        let found = city.store.segments_after(after, 256).map_err(words)?;
        let Some(last) = found.last() else { break };
        after = last.arrival;
        segments.extend(found.into_iter().map(|one| one.sealed));
    }
    let chains = vec![city.identity.chain.clone()];
    let mut county = open(folder, identity.clone(), now)?;
    county.begin().map_err(words)?;
    county.take_admission(segments, chains, now).map_err(words)?;
    county.commit().map_err(words)?;
    identity.save(folder).map_err(words)?;
    Ok(county)
}

fn admit(
    engine: &mut Engine,
    place: PlaceId,
    now: UtcMillis,
    dice: &mut Dice,
) -> Result<Identity, String> {
    let mut seal = [0; 32];
    dice.fill(&mut seal);
    let keys = NewKeys::generate(seal).map_err(words)?;
    let wanted = keys.request().map_err(words)?;
    engine.begin().map_err(words)?;
    let admission = engine.admit_at(place, &wanted, now).map_err(words)?;
    engine.commit().map_err(words)?;
    let root = engine.identity.root.clone();
    keys.accept(root, admission.certificates, Vec::new()).map_err(words)
}

fn admit_all(
    mut engine: Engine,
    office: Office,
    now: UtcMillis,
    dice: &mut Dice,
) -> Result<Founded, String> {
    let mut identities = Vec::new();
    for place in engine.directives.tree.children(engine.place()) {
        identities.push(admit(&mut engine, place, now, dice)?);
    }
    let mut children = Vec::new();
    for identity in identities {
        let mut epoch = Epoch::default();
        dice.fill(&mut epoch.0);
        let keys = Keys::of(&identity, epoch);
        let config = engine.session_config(keys.place).map_err(words)?;
        children.push(Child { identity, keys, config });
    }
    let (key, directives) = (engine.author.key, Arc::clone(&engine.directives));
    Ok(Founded { office, key, directives, children, now })
}

#[cfg(test)]
mod tests {
    use super::*;
    use taizhang_hub::init::read_places;

    #[test]
    fn tables_of_any_size_are_taken_by_init() {
        for (level, villages) in
            [(Level::City, 4834), (Level::City, 1), (Level::City, 50), (Level::County, 743)]
        {
            let seeds = read_places("t.csv", &table(level, villages).unwrap()).unwrap();
            let count = seeds.iter().filter(|seed| seed.level == Level::Village).count();
            assert_eq!(count, villages);
        }
        assert!(table(Level::City, 0).is_err());
    }
}
