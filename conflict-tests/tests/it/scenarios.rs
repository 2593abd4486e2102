//! The scenarios of DOMAIN.md §6, and the page that says what they show.

use std::path::Path;

use conflict_tests::scenario::check;
use conflict_tests::scenarios::all;

/// One test a scenario, so that they run beside each other and fail by name.
macro_rules! scenarios {
    ($($name:ident = $number:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let scenario = all().into_iter().find(|one| one.number == $number).unwrap();
                check(&scenario);
            }
        )*

        #[test]
        fn every_scenario_has_its_test() {
            let numbers: Vec<u32> = all().iter().map(|one| one.number).collect();
            let mut tested = vec![$($number),*];
            tested.sort_unstable();
            assert_eq!(numbers, tested);
        }
    };
}

scenarios! {
    s01_a_household_registered_twice = 1;
    s02_two_grants_exceed_the_yearly_control = 2;
    s03_the_village_edits_while_the_township_reviews = 3;
    s04_closed_by_the_township_while_the_village_reopens = 4;
    s05_policy_changed_in_an_outage = 5;
    s06_points_redeemed_twice_offline = 6;
    s07_a_household_moves_between_villages = 7;
    s08_a_village_is_merged_and_a_township_recoded = 8;
    s09_a_pc_restored_from_an_old_image = 9;
    s10_two_pcs_in_one_village = 10;
    s11_a_wrong_clock = 11;
    s12_late_data_after_the_cut_off = 12;
    s13_a_local_value_covered_by_a_stricter_one = 13;
    s14_voided_and_verified_apart = 14;
    s15_star_rating_steps_out_of_order = 15;
    s16_the_wage_list_against_the_declared_share = 16;
    s17_one_digit_mistyped = 17;
    s18_signed_then_changed = 18;
    s19_numbering_while_cut_off = 19;
    s20_township_and_county_change_a_status = 20;
    s21_the_national_list_is_imported = 21;
    s22_a_payment_sent_twice = 22;
    s23_rework_ordered_while_the_county_accepts = 23;
    s24_a_household_exits_while_it_is_rated = 24;
    s25_escalated_and_closed_apart = 25;
    s26_a_contact_that_has_left = 26;
    s27_one_receipt_entered_twice = 27;
    s28_the_catalogue_is_upgraded = 28;
    s29_sync_breaks_in_the_middle = 29;
    s30_edits_while_inspectors_are_there = 30;
    s31_a_withdrawal_crosses_a_payment = 31;
}

/// `docs/CONFLICTS.md` is generated; `UPDATE_EXPECT=1` writes it.
#[test]
fn the_page_of_conflicts_says_what_the_scenarios_show() {
    let mut text = String::from(
        "# What happens when work meets / 各方改动相遇时怎么办\n\n\
         Generated from the scenario tests (`conflict-tests/src/scenarios/`), which play each of these \
         under calm and rough links, give the segments again in other orders and partly twice, and \
         compare slice hashes, findings and conflict ids. Numbers are those of the domain \
         specification.\n",
    );
    for one in all() {
        let (zh, en) = one.title;
        let (said, in_english) = one.outcome;
        text.push_str(&format!("\n## {}. {zh} / {en}\n\n{said}\n\n{in_english}\n", one.number));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFLICTS.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, text, "run with UPDATE_EXPECT=1");
}
