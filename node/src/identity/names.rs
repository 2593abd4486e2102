//! The one dNSName of a replica's certificate: labels are replica and place ids, deepest first.
//!
//! `<replica>.<village>.<township>.<county>.<city>.taizhang.internal`, cut short for upper levels.
//! The first labels say who you are; the tree says where you are (DESIGN §6).

use taizhang_core::id::{Level, PlaceId, ReplicaId};

/// The zone that no public authority issues for.
pub const ZONE: &str = "taizhang.internal";

/// Who a name names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplicaName {
    /// The replica.
    pub replica: ReplicaId,
    /// From the city down to the replica's place.
    pub path: Vec<PlaceId>,
}

/// A name that is not one of ours.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// Not below the zone.
    #[error("`{0}` does not end in .{ZONE}")]
    Zone(String),
    /// Not two to five labels before the zone.
    #[error("`{name}` has {labels} labels before {ZONE}; a replica's name has 2 to 5")]
    Depth {
        /// The name.
        name: String,
        /// Labels found.
        labels: usize,
    },
    /// A label is no id, or a wildcard.
    #[error("label `{0}` is not an id")]
    Label(String),
}

impl ReplicaName {
    /// The replica's place.
    pub fn place(&self) -> PlaceId {
        self.path.last().copied().unwrap_or_default()
    }

    /// The level of the place: the depth of the path.
    pub fn level(&self) -> Level {
        match self.path.len() {
            1 => Level::City,
            2 => Level::County,
            3 => Level::Township,
            _ => Level::Village,
        }
    }

    /// The dNSName.
    pub fn dns(&self) -> String {
        format!("{}.{}", self.replica, subtree(&self.path))
    }

    /// Reads a dNSName.
    ///
    /// # Errors
    ///
    /// [`NameError`]: anything but lower-case ids of exact depth below the zone.
    pub fn parse(dns: &str) -> Result<Self, NameError> {
        let labels = dns
            .strip_suffix(ZONE)
            .and_then(|rest| rest.strip_suffix('.'))
            .ok_or_else(|| NameError::Zone(dns.to_owned()))?;
        let labels: Vec<&str> = labels.split('.').collect();
        if !(2..=5).contains(&labels.len()) {
            return Err(NameError::Depth { name: dns.to_owned(), labels: labels.len() });
        }
        let bad = |label: &str| NameError::Label(label.to_owned());
        if let Some(upper) =
            labels.iter().find(|label| label.bytes().any(|b| b.is_ascii_uppercase()))
        {
            return Err(bad(upper));
        }
        let replica = labels[0].parse().map_err(|_| bad(labels[0]))?;
        let mut path: Vec<PlaceId> = labels[1..]
            .iter()
            .map(|label| label.parse().map_err(|_| bad(label)))
            .collect::<Result<_, _>>()?;
        path.reverse();
        Ok(Self { replica, path })
    }
}

/// The name of a place's subtree, for name constraints.
pub fn subtree(path: &[PlaceId]) -> String {
    let labels: Vec<String> = path.iter().rev().map(ToString::to_string).collect();
    format!("{}.{ZONE}", labels.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_say_their_level() {
        for depth in 1..=4_u8 {
            let path = (1..=depth).map(|n| PlaceId([n; 8])).collect();
            let name = ReplicaName { replica: ReplicaId([9; 8]), path };
            assert_eq!(ReplicaName::parse(&name.dns()), Ok(name.clone()));
            assert_eq!(name.place(), PlaceId([depth; 8]));
        }
    }

    #[test]
    fn wildcards_extra_depth_foreign_zones_and_capitals_are_refused() {
        let id = PlaceId([0xab; 8]).to_string();
        for wrong in [
            format!("*.{id}.{ZONE}"),
            format!("{id}.{ZONE}"),
            [id.as_str(); 6].join(".") + "." + ZONE,
            format!("{id}.{id}.example.org"),
            format!("{}.{id}.{ZONE}", id.to_uppercase()),
            ZONE.to_owned(),
            String::new(),
        ] {
            assert!(ReplicaName::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
