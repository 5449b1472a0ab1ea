//! How alike texts are, and what they sound like.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Call, Evaluated, function, invalid};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("hamming_distance", |call| compare(call, hamming)),
        function("levenshtein_distance", |call| compare(call, levenshtein)),
        function("soundex", |call| {
            let text = call.text(0)?;
            call.make_texts(|row| Some(soundex(text.get(row)?)))
        }),
        function("luhn_check", |call| {
            let text = call.text(0)?;
            call.make_booleans(|row| Some(luhn(text.get(row)?)))
        }),
    ]
}

fn compare(call: &Call<'_>, distance: fn(&str, &str) -> Evaluated<i64>) -> Result<ArrayRef> {
    let (left, right) = (call.text(0)?, call.text(1)?);
    call.make_integers(|row| Some(distance(left.get(row)?, right.get(row)?)))
}

fn hamming(left: &str, right: &str) -> Evaluated<i64> {
    let (mut left, mut right) = (left.chars(), right.chars());
    let mut distance = 0;
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ok(distance),
            (Some(a), Some(b)) => distance += i64::from(a != b),
            _ => {
                let message =
                    "The input strings to hamming_distance function must have the same length";
                return Err(invalid(message));
            }
        }
    }
}

/// Above this many comparisons Trino refuses.
const MAX_LEVENSHTEIN: usize = 1_000_000;

fn levenshtein(left: &str, right: &str) -> Evaluated<i64> {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if left.len().saturating_mul(right.len().saturating_sub(1)) > MAX_LEVENSHTEIN {
        let message = format!(
            "The combined inputs for Levenshtein distance exceed the limit: {} and {} characters",
            left.len(),
            right.len()
        );
        return Err(invalid(message));
    }
    let mut distances: Vec<i64> = (0..).take(right.len() + 1).collect();
    for (i, a) in (1..).zip(&left) {
        let mut diagonal = std::mem::replace(&mut distances[0], i);
        for (j, b) in right.iter().enumerate() {
            let least = distances[j].min(distances[j + 1]) + 1;
            let next = least.min(diagonal + i64::from(a != b));
            diagonal = std::mem::replace(&mut distances[j + 1], next);
        }
    }
    Ok(distances[right.len()])
}

fn soundex(text: &str) -> Evaluated<String> {
    let letters: Vec<char> = text.chars().filter(|c| c.is_alphabetic()).collect();
    if let Some(strange) = letters.iter().find(|c| !c.is_ascii()) {
        return Err(invalid(format!("The character is not mapped: {strange}")));
    }
    let Some(first) = letters.first() else { return Ok(String::new()) };
    let mut code = String::from(first.to_ascii_uppercase());
    let mut last = sound(*first);
    for letter in &letters[1..] {
        let next = sound(*letter);
        match next {
            // H and W do not part two equal sounds; vowels do.
            Sound::Silent => continue,
            Sound::Vowel => {}
            Sound::Digit(digit) if next != last => code.push(digit),
            Sound::Digit(_) => {}
        }
        last = next;
        if code.len() == 4 {
            break;
        }
    }
    Ok(format!("{code:0<4}"))
}

#[derive(PartialEq, Clone, Copy)]
enum Sound {
    Vowel,
    Silent,
    Digit(char),
}

fn sound(letter: char) -> Sound {
    match letter.to_ascii_uppercase() {
        'B' | 'F' | 'P' | 'V' => Sound::Digit('1'),
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => Sound::Digit('2'),
        'D' | 'T' => Sound::Digit('3'),
        'L' => Sound::Digit('4'),
        'M' | 'N' => Sound::Digit('5'),
        'R' => Sound::Digit('6'),
        'H' | 'W' => Sound::Silent,
        _ => Sound::Vowel,
    }
}

fn luhn(text: &str) -> Evaluated<bool> {
    if text.is_empty() {
        return Ok(false);
    }
    let mut sum = 0;
    for (index, digit) in text.chars().rev().enumerate() {
        let Some(value) = digit.to_digit(10) else {
            return Err(invalid(format!("Input contains non-digit characters: {text}")));
        };
        let doubled = if index % 2 == 1 { value * 2 } else { value };
        sum += doubled / 10 + doubled % 10;
    }
    Ok(sum % 10 == 0)
}
