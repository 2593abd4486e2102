//! The citizen identity number, GB 11643-1999: 6 address digits, birth date, 3 serial, 1 check.

use crate::time::Date;

/// A number that passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IdNumber {
    /// Date of birth.
    pub birth: Date,
    /// Odd serial.
    pub male: bool,
}

/// What is wrong with a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdNumberError {
    /// Not 17 digits and a digit or X.
    #[error("not 17 digits and a digit or X")]
    Form,
    /// No such date of birth.
    #[error("no such date of birth")]
    Birth,
    /// The check character does not fit.
    #[error("check character should be {expected}")]
    Check {
        /// What it should be.
        expected: char,
    },
}

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];

/// The check character of 17 digits (ISO 7064 MOD 11-2).
fn check_char(digits: &str) -> Option<char> {
    let mut sum = 0;
    for (c, weight) in digits.chars().zip(WEIGHTS) {
        sum += c.to_digit(10)? * weight;
    }
    CHECKS.get(usize::try_from(sum % 11).ok()?).copied()
}

/// The date of birth in an 18-character number, whether or not its check character fits.
pub fn birth(number: &str) -> Option<Date> {
    let part = |from: usize, to: usize| number.get(from..to);
    let date = format!("{}-{}-{}", part(6, 10)?, part(10, 12)?, part(12, 14)?);
    Date::parse(&date).filter(|_| number.len() == 18)
}

/// Checks an 18-character number. The address part is not checked: people move in from elsewhere.
///
/// # Errors
///
/// [`IdNumberError`].
pub fn check(number: &str) -> Result<IdNumber, IdNumberError> {
    if number.len() != 18 || !number.is_ascii() {
        return Err(IdNumberError::Form);
    }
    let (digits, last) = number.split_at(17);
    let expected = check_char(digits).ok_or(IdNumberError::Form)?;
    let last = last.chars().next().map_or(' ', |c| c.to_ascii_uppercase());
    if !last.is_ascii_digit() && last != 'X' {
        return Err(IdNumberError::Form);
    }
    let birth = birth(number).ok_or(IdNumberError::Birth)?;
    if last != expected {
        return Err(IdNumberError::Check { expected });
    }
    let male = digits.as_bytes()[16] % 2 == 1;
    Ok(IdNumber { birth, male })
}

/// Upper-case X, blanks removed, and a 15-digit number of before 1999 turned into 18 characters
/// (century 19). The second value tells whether it was turned.
pub fn normalise(text: &str) -> (String, bool) {
    let compact: String =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect();
    if compact.len() == 15 && compact.bytes().all(|b| b.is_ascii_digit()) {
        let digits = format!("{}19{}", &compact[..6], &compact[6..]);
        if let Some(check) = check_char(&digits) {
            return (format!("{digits}{check}"), true);
        }
    }
    (compact, false)
}

/// Whether two numbers differ by at most one inserted, removed or replaced character, or by two
/// neighbours swapped: the usual slips of typing.
pub fn within_one_edit(one: &str, two: &str) -> bool {
    let (one, two): (Vec<char>, Vec<char>) = (one.chars().collect(), two.chars().collect());
    let start = one.iter().zip(&two).take_while(|(a, b)| a == b).count();
    let (one, two) = (&one[start..], &two[start..]);
    let end = one.iter().rev().zip(two.iter().rev()).take_while(|(a, b)| a == b).count();
    let (one, two) = (&one[..one.len() - end], &two[..two.len() - end]);
    match (one, two) {
        ([a, b], [c, d]) => a == d && b == c,
        _ => one.len() <= 1 && two.len() <= 1,
    }
}

/// A number of the unassigned address 411499, for generated people: nobody can own it.
///
/// # Panics
///
/// Never: the digits are written here.
pub fn generated(birth: Date, serial: u32) -> String {
    let date = birth.to_string().replace('-', "");
    let digits = format!("411499{date}{:03}", serial % 1000);
    let check = check_char(&digits).expect("seventeen digits");
    format!("{digits}{check}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_example_and_the_acceptance_numbers_pass() {
        for (number, male) in [
            ("11010519491231002X", false),
            ("41149919520307002X", false),
            ("411499195001010010", true),
            ("411499195304090038", true),
            ("411499198808150018", true),
            ("41149919530410003X", true),
            ("411499198002200047", false),
        ] {
            assert_eq!(check(number).map(|id| id.male), Ok(male), "{number}");
        }
    }

    #[test]
    fn every_single_wrong_digit_is_found_and_the_right_check_is_named() {
        let good = "411499195304090038";
        for at in 0..17 {
            for digit in '0'..='9' {
                let mut wrong: Vec<char> = good.chars().collect();
                if wrong[at] == digit {
                    continue;
                }
                wrong[at] = digit;
                assert!(check(&wrong.into_iter().collect::<String>()).is_err());
            }
        }
        assert_eq!(check("110105194912310020"), Err(IdNumberError::Check { expected: 'X' }));
        assert_eq!(check("11010519491331002X"), Err(IdNumberError::Birth));
        assert_eq!(check("1101051949123100"), Err(IdNumberError::Form));
    }

    #[test]
    fn old_numbers_and_lower_case_are_normalised() {
        assert_eq!(normalise(" 11010519491231002x "), ("11010519491231002X".to_owned(), false));
        let (turned, old) = normalise("110105491231002");
        assert!(old);
        assert!(check(&turned).is_ok());
    }

    #[test]
    fn slips_of_typing_are_near_and_others_are_not() {
        for (one, two) in
            [("12345", "12345"), ("12345", "1245"), ("12345", "12395"), ("12345", "13245")]
        {
            assert!(within_one_edit(one, two) && within_one_edit(two, one), "{one} {two}");
        }
        assert!(!within_one_edit("12345", "12399"));
        assert!(!within_one_edit("12345", "54321"));
    }

    #[test]
    fn generated_numbers_are_valid_and_belong_to_nobody() {
        let number = generated(Date::parse("1953-04-09").unwrap(), 3);
        assert_eq!(number, "411499195304090038");
    }
}
