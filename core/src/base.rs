//! The catalogue that the program brings along, and the cases of its rules.

use crate::catalogue::parse::Part;

/// Names and texts of TOML files below `core/catalogue`.
macro_rules! files {
    ($(#[$doc:meta])* $list:ident in $folder:literal: $($name:literal,)*) => {
        $(#[$doc])*
        const $list: &[(&str, &str)] = &[$((
            concat!($folder, $name, ".toml"),
            include_str!(concat!("../catalogue/", $folder, $name, ".toml")),
        )),*];
    };
}

files! {
    /// Vocabularies and parameters, then ledgers, reports and charts.
    PARTS in "":
    "base",
    "work_calendar",
    "org_unit",
    "public_contact",
    "village_profile",
    "area_profile",
    "asset_income",
    "benefit_link",
    "business_entity",
    "civic_training",
    "commendation_criticism",
    "elderly_support",
    "employment",
    "employment_subsidy",
    "filial_council",
    "filial_fund",
    "finding",
    "guidance_followup",
    "honour_roll",
    "household_grant",
    "household_member",
    "implementation_plan_filing",
    "income_measure",
    "income_statement",
    "industry",
    "industry_subsidy",
    "loan_support",
    "meeting_record",
    "motivation_model",
    "party_building",
    "points_account",
    "points_shop",
    "policy_item",
    "poor_household",
    "problem_ticket",
    "project_fund",
    "public_notice",
    "pv",
    "quarterly_briefing",
    "report_filing",
    "responsibility_item",
    "satisfaction_survey",
    "star_rating",
    "supervision_notice",
    "supervision_round",
    "talent",
    "toilet_acceptance",
    "toilet_fund",
    "toilet_inspection",
    "toilet_maintenance",
    "toilet_plan",
    "toilet_procurement",
    "toilet_renovation",
    "toilet_survey",
    "toilet_works",
    "training",
    "village_collective",
    "village_evaluation",
    "village_income_plan",
    "workshop",
    "workshop_lease",
    "workshop_plan",
    "workshop_safety_check",
    "reports",
    "reports_income",
    "reports_motivation",
    "reports_toilet",
    "reports_work",
    "reports_workshop",
    "overview",
}

files! {
    /// Rows on which rules hold and fail, a file a ledger.
    CASES in "cases/":
    "area_profile",
    "asset_income_distribution",
    "asset_income_project",
    "benefit_link",
    "business_entity",
    "commendation_criticism",
    "crew_member",
    "elderly_support",
    "employment_subsidy",
    "evaluation_result",
    "filial_account",
    "filial_fund",
    "finding",
    "guidance_followup",
    "honour_roll",
    "household_grant",
    "household_member",
    "implementation_plan_filing",
    "income_measure",
    "income_statement",
    "industry_base",
    "industry_subsidy",
    "job_demand",
    "job_vacancy",
    "loan_support",
    "meeting_record",
    "motivation_model",
    "org_unit",
    "outside_talent",
    "points_account",
    "points_goods",
    "policy_question",
    "poor_household",
    "problem_ticket",
    "project_fund",
    "public_contact",
    "public_notice",
    "pv_distribution",
    "pv_station",
    "quarterly_briefing",
    "report_filing",
    "responsibility_item",
    "satisfaction_survey",
    "star_rating",
    "supervision_notice",
    "supervision_round",
    "toilet_contractor",
    "toilet_fund",
    "toilet_inspection",
    "toilet_maintenance",
    "toilet_plan",
    "toilet_procurement",
    "toilet_renovation",
    "toilet_survey",
    "training_enrolment",
    "training_session",
    "transfer_employment",
    "village_acceptance",
    "village_collective",
    "village_income_plan",
    "village_profile",
    "welfare_post",
    "workshop",
    "workshop_lease",
    "workshop_plan",
    "workshop_plan_list",
    "workshop_safety_check",
    "workshop_wage",
    "workshop_worker",
}

fn read(files: &[(&str, &str)]) -> Vec<Part> {
    let part = |(name, source): &(&str, &str)| Part {
        name: (*name).to_owned(),
        source: (*source).to_owned(),
    };
    files.iter().map(part).collect()
}

/// The parts that `init` publishes: name and TOML text of each.
pub fn base_catalogue() -> Vec<Part> {
    read(PARTS)
}

/// The cases of that catalogue's rules, which `catalogue check` proves.
pub fn base_cases() -> Vec<Part> {
    read(CASES)
}
