//! Every refusal of the identity rules, each by its own error; and enrolment codes with their audit.

use rcgen::{
    BasicConstraints, CertificateParams, GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints,
    SanType,
};
use rustls_pki_types::CertificateDer;
use taizhang_core::id::{PlaceId, ReplicaId, SealKey};
use taizhang_node::engine::command::CommandError;
use taizhang_node::identity::chain::{ChainError, RootOfTrust};
use taizhang_node::identity::found::{Founded, NewKeys, certify, found};
use taizhang_node::identity::issue::{Signer, new_key, public_key};
use taizhang_node::identity::keys::{Authority, Identity};
use taizhang_node::identity::names::{ReplicaName, ZONE};

use conflict_tests::world::{START, World};

const NOW_S: i64 = 1_527_782_400;

fn id(byte: u8) -> PlaceId {
    PlaceId([byte; 8])
}

fn network(byte: u8) -> Founded {
    found(id(byte), ReplicaId([byte; 8]), [byte; 32], NOW_S).unwrap()
}

fn hub(parent: &Identity, path: &[PlaceId]) -> Identity {
    let keys = NewKeys::generate([u8::try_from(path.len()).unwrap() + 40; 32]).unwrap();
    let wanted = keys.request().unwrap();
    let made = certify(parent, path, ReplicaId([9; 8]), &wanted, NOW_S).unwrap();
    keys.accept(parent.root.clone(), made, Vec::new()).unwrap()
}

fn signer(authority: &Authority) -> Signer {
    Signer::load(&authority.chain[0], &authority.key_pem).unwrap()
}

/// A leaf with any names, issued by a hub.
fn leaf(issuer: &Identity, names: Vec<SanType>, days: i64) -> Vec<Vec<u8>> {
    let authority = issuer.authority.as_ref().unwrap();
    let key = new_key().unwrap();
    let made = signer(authority)
        .leaf_with(names, &public_key(&key), Some(SealKey([1; 32])), NOW_S, days)
        .unwrap();
    std::iter::once(made).chain(authority.chain.iter().cloned()).collect()
}

fn dns(path: &[PlaceId]) -> SanType {
    let name = ReplicaName { replica: ReplicaId([7; 8]), path: path.to_vec() };
    SanType::DnsName(name.dns().try_into().unwrap())
}

struct Case {
    root: RootOfTrust,
    county: Identity,
    township: Identity,
}

fn case() -> Case {
    let city = network(1).identity;
    let county = hub(&city, &[id(1), id(2)]);
    let township = hub(&county, &[id(1), id(2), id(4)]);
    Case { root: city.root.clone(), county, township }
}

#[test]
fn an_honest_chain_is_accepted_at_every_level() {
    let case = case();
    for identity in [&case.county, &case.township] {
        case.root.check_at(&identity.chain, NOW_S).unwrap();
    }
    let village = leaf(&case.township, vec![dns(&[id(1), id(2), id(4), id(5)])], 400);
    assert_eq!(case.root.check(&village).unwrap().name.place(), id(5));
}

#[test]
fn a_chain_of_another_root_is_refused() {
    let other = network(1).identity;
    assert_eq!(case().root.check(&other.chain), Err(ChainError::WrongRoot));
}

#[test]
fn a_countys_certificate_for_another_countys_village_is_refused() {
    let case = case();
    let chain = leaf(&case.county, vec![dns(&[id(1), id(3), id(4), id(5)])], 400);
    assert!(matches!(case.root.check(&chain), Err(ChainError::Constraint { .. })));
}

#[test]
fn leaves_without_a_name_with_two_with_uri_or_ip_are_refused_each_by_name() {
    let case = case();
    let own = dns(&[id(1), id(2), id(4), id(5)]);
    let check = |names: Vec<SanType>| case.root.check(&leaf(&case.township, names, 400));
    assert_eq!(check(Vec::new()), Err(ChainError::NoName));
    assert_eq!(check(vec![own.clone(), own.clone()]), Err(ChainError::ManyNames(2)));
    let uri = SanType::URI(format!("https://x.{ZONE}").try_into().unwrap());
    assert_eq!(check(vec![uri]), Err(ChainError::NameKind("URI")));
    let ip = SanType::IpAddress("127.0.0.1".parse().unwrap());
    assert_eq!(check(vec![ip]), Err(ChainError::NameKind("IP address")));
    let wildcard = format!("*.{}.{}.{}.{}.{ZONE}", id(5), id(4), id(2), id(1));
    let wildcard = SanType::DnsName(wildcard.try_into().unwrap());
    assert!(matches!(check(vec![wildcard]), Err(ChainError::Name(_))));
}

#[test]
fn an_expired_certificate_and_one_that_is_not_valid_yet_are_refused_on_links() {
    let case = case();
    let chain = leaf(&case.township, vec![dns(&[id(1), id(2), id(4), id(5)])], 30);
    assert!(case.root.check_at(&chain, NOW_S + 29 * 86_400).is_ok());
    assert_eq!(case.root.check_at(&chain, NOW_S + 31 * 86_400), Err(ChainError::Expired));
    assert_eq!(case.root.check_at(&chain, NOW_S - 3 * 86_400), Err(ChainError::Expired));
    assert!(case.root.check(&chain).is_ok(), "seals are verified as of the start");
}

#[test]
fn extra_depth_is_refused() {
    let case = case();
    let authority = case.township.authority.as_ref().unwrap();
    let issuer = Issuer::from_ca_cert_der(
        &CertificateDer::from(authority.chain[0].as_slice()),
        KeyPair::from_pem(&authority.key_pem).unwrap(),
    )
    .unwrap();
    let key = new_key().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(format!(
            "{}.{}.{}.{ZONE}",
            id(4),
            id(2),
            id(1)
        ))],
        excluded_subtrees: Vec::new(),
    });
    let rogue = params.signed_by(&key, &issuer).unwrap().der().to_vec();
    let below = Signer::load(&rogue, &key.serialize_pem()).unwrap();
    let leaf_key = new_key().unwrap();
    let names = vec![dns(&[id(1), id(2), id(4), id(5)])];
    let made =
        below.leaf_with(names, &public_key(&leaf_key), Some(SealKey([1; 32])), NOW_S, 400).unwrap();
    let mut chain = vec![made, rogue];
    chain.extend(authority.chain.iter().cloned());
    assert!(matches!(case.root.check(&chain), Err(ChainError::ExtraDepth(_))));
}

#[test]
fn a_leaf_without_a_seal_key_is_refused() {
    let case = case();
    let authority = case.township.authority.as_ref().unwrap();
    let key = new_key().unwrap();
    let names = vec![dns(&[id(1), id(2), id(4), id(5)])];
    let made = signer(authority).leaf_with(names, &public_key(&key), None, NOW_S, 400).unwrap();
    let chain: Vec<Vec<u8>> =
        std::iter::once(made).chain(authority.chain.iter().cloned()).collect();
    assert_eq!(case.root.check(&chain), Err(ChainError::NoSealKey));
}

/// Used, expired and unknown codes, and a place that is not below: each has its own text and, where a
/// stranger tried, its audit line.
#[test]
fn used_expired_and_unknown_codes_are_refused_and_audited() {
    let mut world = World::new(1, 1, None);
    let wanted = NewKeys::generate([5; 32]).unwrap().request().unwrap();
    let city = world.engine(0);
    fn refused<T>(result: Result<T, CommandError>) -> String {
        match result {
            Err(CommandError::Refused(text)) => text.en,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("admitted"),
        }
    }
    city.begin().unwrap();
    let code = city.invite(id(2), vec!["x:1".into()], 1, START).unwrap();
    let late = START.plus(3_600_001);
    assert_eq!(refused(city.admit(&code.secret_text(), &wanted, late)), "this code has expired");
    city.admit(&code.secret_text(), &wanted, START).unwrap();
    // Who lost the answer asks again; another program does not get in.
    city.admit(&code.secret_text(), &wanted, START).unwrap();
    let other = NewKeys::generate([6; 32]).unwrap().request().unwrap();
    assert_eq!(
        refused(city.admit(&code.secret_text(), &other, START)),
        "this code was used before"
    );
    assert_eq!(refused(city.admit("00", &wanted, START)), "there is no such code");
    let far = city.invite(id(5), vec!["x:1".into()], 1, START);
    assert!(refused(far).starts_with("the office directly above makes the code"));
    let above = city.invite(id(99), vec!["x:1".into()], 1, START);
    assert_eq!(refused(above), "the place is not below this office");
    city.commit().unwrap();
    let folder = world.replicas[0].folder.clone();
    let readers = taizhang_node::store::read::Readers::new(&folder);
    let lines = readers.with(|reader| reader.audit(100)).unwrap();
    for text in ["this code has expired", "this code was used before", "there is no such code"] {
        assert!(lines.iter().any(|(_, kind, line)| kind == "enrolment refused" && line == text));
    }
}
