//! CSV files, against what pandas reads.

use super::{folder, json, option, vectors, wrong};
use proptest::prelude::*;
use wgpu_lstm::Error;
use wgpu_lstm::data::{Csv, Table, Targets};

fn table(text: &str) -> Table {
    Csv::new().read_from(text.as_bytes()).unwrap()
}

/// Where a field is wrong: its line, its column, and what was found.
#[track_caller]
fn field<T: std::fmt::Debug>(result: wgpu_lstm::Result<T>) -> (u64, String, String) {
    match result.unwrap_err() {
        Error::Field { line, column, found, .. } => (line, column, found),
        other => panic!("{other:?}"),
    }
}

/// Rows of numbers as pandas gave them; those with none are left out.
fn numbers(rows: &serde_json::Value) -> Vec<f32> {
    let values = rows.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
    values.map(|value| value.as_f64().unwrap() as f32).collect()
}

#[test]
fn it_is_the_table_of_pandas() {
    let (table, pandas) = (Table::from_csv(vectors("table.csv")).unwrap(), json("table.json"));
    assert_eq!(serde_json::json!(table.names()), pandas["names"]);
    assert_eq!(table.len(), 6);
    assert_eq!(serde_json::json!(table.text("sky, seen").unwrap()), pandas["sky"]);
    let both = ["temp", "wind"];
    for (policy, name) in [
        (table.drop_missing(both), "dropna"),
        (table.fill_forward(both), "ffill"),
        (table.fill_missing(both, 0.5), "fillna"),
    ] {
        assert_eq!(policy.unwrap().numbers(both).unwrap(), numbers(&pandas[name]), "{name}");
    }
    // Each number alone, or that there is none.
    for (row, expected) in pandas["numbers"].as_array().unwrap().iter().enumerate() {
        for (column, expected) in both.into_iter().zip(expected.as_array().unwrap()) {
            let found = table.rows(row..row + 1).unwrap().numbers([column]);
            match expected.as_f64() {
                Some(expected) => assert_eq!(found.unwrap(), [expected as f32]),
                None => assert_eq!(field(found).1, column),
            }
        }
    }
    let groups = table.group_by("id").unwrap().map(|rows| rows.fill_missing(both, 9.0)).unwrap();
    for (i, name) in groups.names().iter().enumerate() {
        let rows = pandas["groups"][name].to_string().replace("null", "9.0");
        let expected = numbers(&serde_json::from_str(&rows).unwrap());
        assert_eq!(groups.sequences(both).unwrap().get(i), expected, "{name}");
    }
    assert_eq!(groups.names(), ["b", "a"]);
}

#[test]
fn missing_is_what_pandas_takes_for_it() {
    let missing = json("table.json")["missing"].clone();
    for text in missing.as_array().unwrap() {
        let text = text.as_str().unwrap();
        let table = table(&format!("a,b\n{text},1\n2,3\n"));
        assert_eq!(field(table.numbers(["a"])).0, 2, "{text:?}");
        assert_eq!(table.drop_missing(["a"]).unwrap().numbers(["b"]).unwrap(), [3.0], "{text:?}");
    }
    for text in ["Na", "NONE", "-", "?", "0", " . "] {
        assert_eq!(table(&format!("a,b\n{text},1\n")).drop_missing(["a"]).unwrap().len(), 1);
    }
}

#[test]
fn what_is_no_number_is_told_by_its_line_and_column() {
    // A comment, an empty line and a field of two lines: lines are those of the file.
    let text = "# head\na,b\n\n1,\"x\ny\"\n# more\n\n2,z\n1e39,inf\n\"1,5\",1_0\n0x1,٣\n";
    let table = Csv::new().comment('#').read_from(text.as_bytes()).unwrap();
    assert_eq!(table.text("b").unwrap(), ["x\ny", "z", "inf", "1_0", "٣"]);
    for (row, column, line, found) in [
        (0, "b", 4, "\"x\\ny\""),
        (1, "b", 8, "\"z\""),
        (2, "a", 9, "\"1e39\""),
        (2, "b", 9, "\"inf\""),
        (3, "a", 10, "\"1,5\""),
        (3, "b", 10, "\"1_0\""),
        (4, "a", 11, "\"0x1\""),
        (4, "b", 11, "\"٣\""),
    ] {
        let rows = table.rows(row..table.len()).unwrap();
        assert_eq!(field(rows.numbers([column])), (line, column.into(), found.into()));
    }
    assert_eq!(table.rows(0..2).unwrap().numbers([0]).unwrap(), [1.0, 2.0]);
    let long = format!("a\n{}\n", "é".repeat(500));
    let (_, _, found) = field(self::table(&long).numbers([0]));
    assert_eq!(found.chars().count(), 82);
    assert_eq!(option(table.rows(4..6)), ("Table::rows", "4..6".into()));
}

#[test]
fn rows_that_differ_in_length_are_told() {
    let read = |text: &str| Csv::new().read_from(text.as_bytes());
    assert_eq!(wrong(read("a,b\n1,2\n\n3\n")), ("line 4".into(), "of 1 fields".into()));
    assert_eq!(wrong(read("a,b\n1,2,3\n")), ("line 2".into(), "of 3 fields".into()));
    for empty in ["", "\n\n"] {
        assert_eq!(wrong(read(empty)), ("the table".into(), "empty".into()));
    }
    let bad = Csv::new().read_from(&b"a,b\n1,\xff\n"[..]);
    assert_eq!(wrong(bad), ("byte 6, in line 2,".into(), "0xff".into()));
    let folder = folder("csv");
    let path = folder.path().join("table.csv");
    std::fs::write(&path, "a\n1\n2,3\n").unwrap();
    let error = Table::from_csv(&path).unwrap_err();
    let text = ": line 3 is of 2 fields, expected of 1, as the first; see Csv::delimiter";
    assert_eq!(error.to_string(), path.display().to_string() + text);
    std::fs::write(&path, "a\n1\n2x\n").unwrap();
    let error = Table::from_csv(&path).unwrap().series(["a"]).unwrap_err();
    let text = ": line 3, column \"a\" is \"2x\", expected a finite number";
    assert_eq!(error.to_string(), path.display().to_string() + text);
    assert!(matches!(Table::from_csv(folder.path().join("no")), Err(Error::Io { .. })));
    assert!(matches!(Table::from_csv(folder.path()), Err(Error::Io { .. })));
}

#[test]
fn files_are_written_in_many_ways() {
    let read = |csv: Csv, text: &str| csv.read_from(text.as_bytes()).unwrap();
    // A mark of UTF-8, ends of lines of Windows, spaces, no end of the last line.
    let table = read(Csv::new(), "\u{feff}a , b\r\n 1 ,\"2\"\r\n3,4");
    assert_eq!(table.names(), ["a", "b"]);
    assert_eq!(table.numbers(table.names()).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    let table = read(Csv::new().delimiter('\t').header(false), "1\t2\n3\t4\n");
    assert_eq!(table.names(), ["0", "1"]);
    assert_eq!(table.numbers([1, 0]).unwrap(), [2.0, 1.0, 4.0, 3.0]);
    assert_eq!(table.numbers(["1"]).unwrap(), [2.0, 4.0]);
    let table = read(Csv::new().delimiter(';').decimal(','), "a;b\n1,5;1.000\n,25;\n");
    assert_eq!(table.numbers(["a"]).unwrap(), [1.5, 0.25]);
    assert_eq!(field(table.numbers(["b"])), (2, "b".into(), "\"1.000\"".into()));
    let filled = table.rows(1..2).unwrap().fill_missing(["b"], -0.5).unwrap();
    assert_eq!(filled.numbers(["b"]).unwrap(), [-0.5]);
    let table = read(Csv::new().missing("?").missing("-200"), "a,b\n?,-200\n-200.0,1\n");
    assert_eq!(table.drop_missing(["a"]).unwrap().numbers(["a"]).unwrap(), [-200.0]);
    assert_eq!(field(table.class_names("a")).2, "\"?\"");
    for (csv, name) in
        [(Csv::new().delimiter('é'), "Csv::delimiter"), (Csv::new().comment('"'), "Csv::comment")]
    {
        assert_eq!(option(csv.read_from(&b"a\n"[..])).0, name);
    }
}

#[test]
fn columns_that_are_not_there_are_told() {
    let table = table("a,b,a\n1,2,3\n");
    assert_eq!(table.numbers([2, 1]).unwrap(), [3.0, 2.0]);
    let (name, found) = option(table.numbers(["c"]));
    assert_eq!((name, &found[..]), ("Table::column", "\"c\""));
    assert_eq!(option(table.text("a")).1, "\"a\", the name of columns 0 and 2");
    assert_eq!(option(table.classes(3, &["x"])).1, "3");
    for result in
        [table.drop_missing(["c"]), table.fill_forward([7]), table.fill_missing(["c"], 0.0)]
    {
        assert_eq!(option(result).0, "Table::column");
    }
    assert_eq!(option(table.group_by("a")).0, "Table::column");
    let none: [&str; 0] = [];
    assert_eq!(table.numbers(none).unwrap(), [0.0; 0]);
    assert_eq!(option(table.series(none)).0, "Sequences::features");
    let nan = table.fill_missing([0], f32::NAN);
    assert!(matches!(nan, Err(Error::NotFinite { .. })), "{nan:?}");
}

#[test]
fn what_is_missing_at_first_stays_so() {
    let table = table("a\nNA\n1\n\"\"\n\"\"\n2\n").fill_forward(["a"]).unwrap();
    assert_eq!(field(table.numbers(["a"])), (2, "a".into(), "\"NA\"".into()));
    let table = table.drop_missing(["a"]).unwrap();
    assert_eq!(table.numbers(["a"]).unwrap(), [1.0, 1.0, 1.0, 2.0]);
    let series = table.series(["a"]).unwrap();
    assert_eq!((series.len(), series.frames(0), series.features()), (1, 4, 1));
    let empty = self::table("a\n");
    assert!(empty.is_empty() && matches!(empty.series(["a"]), Err(Error::Length { .. })));
}

#[test]
fn groups_become_sequences_and_targets() {
    let table = table(
        "who,x,ill,stage,phase\nb,1,no,1,rest\na,2,yes,3,run\nb,NA,no,1,run\na,NA,yes,3,run\n",
    );
    // Each filled alone: the 2 of `a` does not become that of `b`.
    let groups = table.group_by(0).unwrap().map(|rows| rows.fill_forward(["x"])).unwrap();
    assert_eq!((groups.len(), groups.get(0).unwrap().len()), (2, 2));
    assert!(!groups.is_empty() && groups.get(2).is_none());
    let x = groups.sequences(["x", "stage"]).unwrap();
    assert_eq!((x.get(0), x.get(1)), (&[1.0, 1.0, 1.0, 1.0][..], &[2.0, 3.0, 2.0, 3.0][..]));
    let ill = table.class_names("ill").unwrap();
    assert_eq!(groups.classes("ill", &ill).unwrap(), Targets::classes([0, 1]));
    assert_eq!(groups.values(["stage"]).unwrap(), Targets::values([1.0, 3.0], 1));
    let phase = groups.frame_classes("phase", &["rest", "run"]).unwrap();
    assert_eq!(phase, Targets::classes([0, 1, 1, 1]));
    let values = groups.frame_values(["stage", "x"]).unwrap();
    assert_eq!(values, Targets::values([1.0, 1.0, 1.0, 1.0, 3.0, 2.0, 3.0, 2.0], 2));
    let error = groups.classes("phase", &["rest", "run"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the table: line 4, column \"phase\" is \"run\", expected \"rest\", as in the first row of \
         \"b\"; or Groups::frame_classes"
    );
    let unknown = groups.classes("ill", &["no"]);
    assert_eq!(field(unknown), (3, "ill".into(), "\"yes\"".into()));
    let gone = table.group_by(0).unwrap().map(|rows| rows.rows(0..0)).unwrap();
    assert!(matches!(gone.sequences(["x"]), Err(Error::Length { row: 0, found: 0, .. })));
    assert!(matches!(gone.classes("ill", &ill), Err(Error::Length { .. })));
}

#[test]
fn classes_are_sorted_and_may_be_named_as_what_is_missing() {
    let table = table("c\nb\nB\n10\n9\nNone\nb\n");
    let names = table.class_names("c").unwrap();
    assert_eq!(names, ["10", "9", "B", "None", "b"]);
    assert_eq!(table.classes("c", &names).unwrap(), [4, 2, 0, 1, 3, 4]);
    let (line, _, found) = field(self::table("c,d\na,1\n,2\n").class_names("c"));
    assert_eq!((line, &found[..]), (3, "missing"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Fields that are written with quotes come back; anything else is a table or a typed error.
    #[test]
    fn any_text_is_read_or_refused(
        rows in prop::collection::vec(prop::collection::vec("[a-c\",;\n\r#é ]{0,5}", 2), 1..6),
        bytes in prop::collection::vec(prop::sample::select(&b"a1,\"\n\r \xff\xc3\xa9#"[..]), 0..40),
    ) {
        let quoted = |row: &Vec<String>| {
            let fields = row.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
            fields.collect::<Vec<_>>().join(",") + "\n"
        };
        let text: String = rows.iter().map(quoted).collect();
        let table = Csv::new().header(false).read_from(text.as_bytes()).unwrap();
        for column in 0..2 {
            let expected: Vec<_> = rows.iter().map(|row| row[column].trim()).collect();
            prop_assert_eq!(table.text(column).unwrap(), expected);
        }
        if let Ok(table) = Csv::new().comment('#').read_from(&bytes[..]) {
            let _ = (table.numbers([0]), table.class_names(0), table.group_by(0));
            prop_assert!(table.fill_forward([0]).unwrap().len() == table.len());
        }
    }
}
