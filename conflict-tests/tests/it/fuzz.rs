//! A short run over every decoder, what once broke one, and bombs.

use std::time::Instant;

use conflict_tests::fuzz::targets;
use taizhang_node::ops::sheet;

/// Goal: no decoder panics or works without end on changed bytes.
/// Method: 40,000 executions here; `deploy/fuzz` plays millions, in a bounded address space.
#[test]
fn no_decoder_panics_on_changed_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    for target in targets(scratch.path()) {
        let found = target.play(7, 40 * target.weight);
        assert!(found.is_empty(), "{}: {:?}", target.name, found[0]);
    }
}

/// Files that once broke a decoder are named after it and decoded again, for ever.
#[test]
fn what_once_broke_a_decoder_does_not() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fuzz");
    let scratch = tempfile::tempdir().unwrap();
    let all = targets(scratch.path());
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((of, _)) = name.split_once('-') else { continue };
        let target = all.iter().find(|target| target.name == of);
        let target = target.unwrap_or_else(|| panic!("{name} is of no decoder"));
        let found = target.run(&std::fs::read(entry.path()).unwrap());
        assert!(found.is_none(), "{name}: {found:?}");
    }
}

/// Two cells at the ends of a sheet are 17 thousand million between them.
#[test]
fn a_workbook_of_two_far_cells_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("far.xlsx");
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write(0, 0, "姓名").unwrap();
    sheet.write(1_048_575, 16_383, "x").unwrap();
    book.save(&path).unwrap();
    let started = Instant::now();
    let refused = sheet::read(&path).err().unwrap().to_string();
    assert!(refused.contains("请分开保存"), "{refused}");
    assert!(started.elapsed().as_secs() < 2);
}
