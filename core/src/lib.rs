//! The pure domain of Taizhang: what a ledger network is, without a socket, a database or a clock.
//!
//! Read in this order: [`id`] and [`time`] (names of things), [`place`] (the hierarchy and who holds
//! what), [`catalogue`] (ledgers as data), [`record`] (one ledger record: changes, log, fold),
//! [`rules`] and [`policy`] (what is remarked on it), [`feed`] (entries, sealed segments, frontiers),
//! [`directives`] and [`verdict`] (what counts), [`sync`] (the session machine).
//!
//! # Absent on purpose
//!
//! No tokio, tonic, prost, rusqlite, file, environment, clock or randomness: time is `now`, chance is
//! a `seed`, certificates are read through [`directives::ChainReader`]. `clippy.toml` beside this
//! crate refuses hash maps, so the same inputs give the same outputs on every machine.

pub mod calendar;
pub mod catalogue;
pub mod codec;
pub mod directives;
pub mod feed;
pub mod id;
pub mod limits;
pub mod place;
pub mod policy;
pub mod record;
pub mod revocation;
pub mod rights;
pub mod rules;
pub mod sabotage;
pub mod sync;
pub mod time;
pub mod verdict;

/// The catalogue that `init` publishes: name and TOML text of each part.
pub fn base_catalogue() -> Vec<catalogue::parse::Part> {
    let part = |name: &str, source: &str| catalogue::parse::Part {
        name: name.to_owned(),
        source: source.to_owned(),
    };
    vec![
        part("base.toml", include_str!("../catalogue/base.toml")),
        part("work_calendar.toml", include_str!("../catalogue/work_calendar.toml")),
        part("org_unit.toml", include_str!("../catalogue/org_unit.toml")),
        part("public_contact.toml", include_str!("../catalogue/public_contact.toml")),
        part("poor_household.toml", include_str!("../catalogue/poor_household.toml")),
        part("household_member.toml", include_str!("../catalogue/household_member.toml")),
        part("income_measure.toml", include_str!("../catalogue/income_measure.toml")),
        part("income_statement.toml", include_str!("../catalogue/income_statement.toml")),
        part("public_notice.toml", include_str!("../catalogue/public_notice.toml")),
        part("elderly_support.toml", include_str!("../catalogue/elderly_support.toml")),
        part("responsibility_item.toml", include_str!("../catalogue/responsibility_item.toml")),
        part("problem_ticket.toml", include_str!("../catalogue/problem_ticket.toml")),
        part("household_grant.toml", include_str!("../catalogue/household_grant.toml")),
        part("star_rating.toml", include_str!("../catalogue/star_rating.toml")),
        part("employment_subsidy.toml", include_str!("../catalogue/employment_subsidy.toml")),
        part("industry_subsidy.toml", include_str!("../catalogue/industry_subsidy.toml")),
        part("workshop.toml", include_str!("../catalogue/workshop.toml")),
        part("toilet_renovation.toml", include_str!("../catalogue/toilet_renovation.toml")),
        part("points_shop.toml", include_str!("../catalogue/points_shop.toml")),
        part("points_account.toml", include_str!("../catalogue/points_account.toml")),
        part("filial_fund.toml", include_str!("../catalogue/filial_fund.toml")),
        part("guidance_followup.toml", include_str!("../catalogue/guidance_followup.toml")),
        part("policy_item.toml", include_str!("../catalogue/policy_item.toml")),
        part(
            "commendation_criticism.toml",
            include_str!("../catalogue/commendation_criticism.toml"),
        ),
        part("report_filing.toml", include_str!("../catalogue/report_filing.toml")),
        part("quarterly_briefing.toml", include_str!("../catalogue/quarterly_briefing.toml")),
        part(
            "implementation_plan_filing.toml",
            include_str!("../catalogue/implementation_plan_filing.toml"),
        ),
        part("supervision_notice.toml", include_str!("../catalogue/supervision_notice.toml")),
        part("supervision_round.toml", include_str!("../catalogue/supervision_round.toml")),
        part("finding.toml", include_str!("../catalogue/finding.toml")),
        part("reports.toml", include_str!("../catalogue/reports.toml")),
        part("overview.toml", include_str!("../catalogue/overview.toml")),
    ]
}

/// The cases of that catalogue's rules, which `catalogue check` proves.
pub fn base_cases() -> Vec<catalogue::parse::Part> {
    let files = [
        ("commendation_criticism", include_str!("../catalogue/cases/commendation_criticism.toml")),
        ("elderly_support", include_str!("../catalogue/cases/elderly_support.toml")),
        ("employment_subsidy", include_str!("../catalogue/cases/employment_subsidy.toml")),
        ("filial_account", include_str!("../catalogue/cases/filial_account.toml")),
        ("filial_fund", include_str!("../catalogue/cases/filial_fund.toml")),
        ("finding", include_str!("../catalogue/cases/finding.toml")),
        ("guidance_followup", include_str!("../catalogue/cases/guidance_followup.toml")),
        ("household_grant", include_str!("../catalogue/cases/household_grant.toml")),
        ("household_member", include_str!("../catalogue/cases/household_member.toml")),
        (
            "implementation_plan_filing",
            include_str!("../catalogue/cases/implementation_plan_filing.toml"),
        ),
        ("income_measure", include_str!("../catalogue/cases/income_measure.toml")),
        ("income_statement", include_str!("../catalogue/cases/income_statement.toml")),
        ("industry_subsidy", include_str!("../catalogue/cases/industry_subsidy.toml")),
        ("points_account", include_str!("../catalogue/cases/points_account.toml")),
        ("points_goods", include_str!("../catalogue/cases/points_goods.toml")),
        ("policy_question", include_str!("../catalogue/cases/policy_question.toml")),
        ("poor_household", include_str!("../catalogue/cases/poor_household.toml")),
        ("problem_ticket", include_str!("../catalogue/cases/problem_ticket.toml")),
        ("public_contact", include_str!("../catalogue/cases/public_contact.toml")),
        ("public_notice", include_str!("../catalogue/cases/public_notice.toml")),
        ("quarterly_briefing", include_str!("../catalogue/cases/quarterly_briefing.toml")),
        ("report_filing", include_str!("../catalogue/cases/report_filing.toml")),
        ("responsibility_item", include_str!("../catalogue/cases/responsibility_item.toml")),
        ("star_rating", include_str!("../catalogue/cases/star_rating.toml")),
        ("supervision_notice", include_str!("../catalogue/cases/supervision_notice.toml")),
        ("supervision_round", include_str!("../catalogue/cases/supervision_round.toml")),
        ("toilet_renovation", include_str!("../catalogue/cases/toilet_renovation.toml")),
        ("workshop", include_str!("../catalogue/cases/workshop.toml")),
        ("workshop_wage", include_str!("../catalogue/cases/workshop_wage.toml")),
        ("workshop_worker", include_str!("../catalogue/cases/workshop_worker.toml")),
    ];
    let part = |(name, source): (&str, &str)| catalogue::parse::Part {
        name: format!("cases/{name}.toml"),
        source: source.to_owned(),
    };
    files.map(part).to_vec()
}
