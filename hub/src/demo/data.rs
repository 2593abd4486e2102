//! Generated people: seeded, invented, with identity numbers of the unassigned address 411499.

use std::path::Path;

use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde_json::json;
use taizhang_core::rules::id_number::generated;
use taizhang_core::time::Date;

const FAMILY: [&str; 20] = [
    "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林",
    "何", "郭", "马", "罗",
];
const GIVEN: [&str; 20] = [
    "建国", "秀英", "桂兰", "志强", "玉梅", "国庆", "春花", "爱民", "德福", "金凤", "永胜", "淑珍",
    "长河", "丽华", "保田", "翠莲", "铁柱", "月娥", "广林", "巧云",
];
const CAUSES: [&str; 5] = ["illness", "disability", "no_skill", "no_labour", "schooling"];
const MEASURES: [(&str, &str); 4] = [
    ("特色农产品", "种植红薯2亩"),
    ("畜牧养殖", "养羊5只"),
    ("转移就业", "在乡镇企业务工"),
    ("光伏", "村级光伏电站分红"),
];

/// A stream of numbers from a seed.
pub struct Numbers(blake3::OutputReader);

impl Numbers {
    /// The stream of a seed and a purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self(hasher.finalize_xof())
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % bound.max(1) as u64).unwrap_or(0)
    }
}

/// Households of a village: jsonl with a helper, households and their members. Names of heads are
/// unique in the village, as sheets refer to them.
pub fn village(seed: u64, village: &str, households: usize) -> (String, Vec<String>) {
    let mut numbers = Numbers::new(seed, village);
    let mut lines = Vec::new();
    let mut heads = Vec::new();
    lines.push(json!({"ledger": "public_contact", "id": "helper", "fields": {
        "chain_link": "helper", "post": "帮扶责任人", "holder": "周明理", "phone": "13900000001",
        "valid_from": "2018-01-01"}}));
    for (link, post) in [
        ("first_secretary", "第一书记"),
        ("village_committee", "村主任"),
        ("group_leader", "责任组长"),
    ] {
        lines.push(json!({"ledger": "public_contact", "fields": {
            "chain_link": link, "post": post, "holder": "周明理", "phone": "13900000002",
            "valid_from": "2018-01-01"}}));
    }
    for at in 0..households {
        let family = FAMILY[numbers.below(FAMILY.len())];
        let given = GIVEN[numbers.below(GIVEN.len())];
        let head = format!("{family}{given}{}", chinese(at));
        lines.push(json!({"ledger": "poor_household", "id": format!("h{at}"), "fields": {
            "head_name": head, "group_no": format!("{}组", numbers.below(6) + 1),
            "household_kind": "general", "main_cause": CAUSES[numbers.below(CAUSES.len())],
            "helper": "@helper"}}));
        let year = 1940 + i32::try_from(numbers.below(55)).unwrap_or(0);
        let month = u8::try_from(numbers.below(12) + 1).unwrap_or(1);
        let birth = Date::new(year, month, 15).unwrap_or(Date { year: 1950, month: 1, day: 1 });
        let serial = u32::try_from(at * 2 + 1).unwrap_or(1);
        lines.push(json!({"ledger": "household_member", "fields": {
            "household": format!("@h{at}"), "name": head, "id_no": generated(birth, serial),
            "relation": "head", "sex": "male", "birth_date": birth.to_string(),
            "health": "healthy", "labour": "ordinary", "living": "registered"}}));
        heads.push(head);
    }
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    (text.join("\n") + "\n", heads)
}

/// A short Chinese numeral that keeps names apart.
fn chinese(number: usize) -> String {
    const DIGITS: [&str; 10] = ["", "一", "二", "三", "四", "五", "六", "七", "八", "九"];
    const TENS: [&str; 10] = ["", "甲", "乙", "丙", "丁", "戊", "己", "庚", "辛", "壬"];
    let high = if number >= 100 { chinese(number / 100) } else { String::new() };
    format!("{high}{}{}", TENS[number / 10 % 10], DIGITS[number % 10])
}

/// A 增收措施台账 of the usual form: a title above, headers, two measures a household. Gives how many
/// rows it has.
///
/// # Errors
///
/// If the file cannot be written.
pub fn measures_sheet(path: &Path, heads: &[String], year: i32) -> Result<usize, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    sheet.set_name("增收措施台账")?;
    let bold = Format::new().set_bold();
    sheet.merge_range(0, 0, 0, 6, "贫困户增收措施台账", &bold)?;
    sheet.write_string(1, 0, "填报单位:村委会")?;
    let headers =
        ["户主姓名", "年度", "增收措施", "具体内容", "预计年增收(元)", "开始日期", "备注栏"];
    for (column, header) in (0..).zip(headers) {
        sheet.write_string_with_format(2, column, header, &bold)?;
    }
    let mut row = 3;
    for (at, head) in heads.iter().enumerate() {
        for offset in 0..2 {
            let (measure, detail) = MEASURES[(at + offset) % MEASURES.len()];
            sheet.write_string(row, 0, head)?;
            sheet.write_number(row, 1, year)?;
            sheet.write_string(row, 2, measure)?;
            sheet.write_string(row, 3, detail)?;
            sheet.write_number(row, 4, 1500.0 + f64::from(row % 20) * 100.0)?;
            sheet.write_string(row, 5, format!("{year}/4/9"))?;
            row += 1;
        }
    }
    book.save(path)?;
    Ok(heads.len() * 2)
}
