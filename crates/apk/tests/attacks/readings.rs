//! Manifests that two readers would understand differently, one named test for each way, and those that only
//! look odd and are read as devices read them.

use tidegate_apk::build::{ApkBuilder, Spelling, XmlAttribute, XmlElement, XmlValue};
use tidegate_apk::{Error, Inspection, Rule, inspect, read_entry};

const MANIFEST: &str = "AndroidManifest.xml";
const STRING_POOL: u16 = 1;
const RESOURCE_MAP: u16 = 0x180;
const START_NAMESPACE: u16 = 0x100;
const DEBUGGABLE: u32 = 0x0101_000f;
const TEST_ONLY: u32 = 0x0101_0272;

fn app() -> ApkBuilder {
    ApkBuilder::new("com.example.app", 7)
}

fn edited(edit: impl FnOnce(&mut XmlElement)) -> Result<Inspection, Error> {
    inspect(&app().edit_manifest(edit).unsigned())
}

fn rule(result: Result<Inspection, Error>) -> Rule {
    match result {
        Err(Error::Manifest(refusal)) => refusal.rule,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> XmlValue {
    XmlValue::Text(text.to_owned())
}

/// The chunks of the app's manifest, to be changed and put together again.
fn chunks() -> Vec<Vec<u8>> {
    let bytes = read_entry(&app().unsigned(), MANIFEST, 1 << 20).expect("as it is built here");
    let (mut rest, mut chunks) = (&bytes[8..], Vec::new());
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[4..8].try_into().expect("as it is built here")) as usize;
        chunks.push(rest[..len].to_vec());
        rest = &rest[len..];
    }
    chunks
}

fn kind(chunk: &[u8]) -> u16 {
    u16::from_le_bytes([chunk[0], chunk[1]])
}

fn of_kind(chunks: &[Vec<u8>], wanted: u16) -> usize {
    chunks
        .iter()
        .position(|chunk| kind(chunk) == wanted)
        .expect("as it is built here")
}

fn joined(chunks: &[Vec<u8>]) -> Result<Inspection, Error> {
    let body = chunks.concat();
    let head = [&[3, 0, 8, 0][..], &(body.len() as u32 + 8).to_le_bytes()].concat();
    inspect(
        &ApkBuilder::new("a.b", 1)
            .raw_manifest([head, body].concat())
            .unsigned(),
    )
}

/// Changes one word of a chunk's header.
fn put(chunk: &mut [u8], at: usize, value: u32) {
    chunk[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn a_second_map_of_resource_ids() {
    assert!(joined(&chunks()).is_ok());
    // Behind the first element devices skip it; it needs the longer header of a node there.
    let mut behind = chunks();
    let map = behind[of_kind(&behind, RESOURCE_MAP)].clone();
    let mut disguised = [&map[..8], &[0; 8], &map[8..]].concat();
    disguised[2] = 16;
    let len = disguised.len() as u32;
    put(&mut disguised, 4, len);
    behind.push(disguised);
    assert_eq!(rule(joined(&behind)), Rule::TwoReadings);
    let mut before = chunks();
    before.insert(1, map);
    assert_eq!(rule(joined(&before)), Rule::MalformedXml);
}

#[test]
fn a_second_string_pool() {
    let mut behind = chunks();
    let pool = behind[of_kind(&behind, STRING_POOL)].clone();
    behind.push(pool.clone());
    assert_eq!(rule(joined(&behind)), Rule::TwoReadings);
    let mut before = chunks();
    before.insert(0, pool);
    assert_eq!(rule(joined(&before)), Rule::MalformedXml);
    let mut late = chunks();
    let pool = late.remove(0);
    let first = of_kind(&late, START_NAMESPACE);
    late.insert(first + 1, pool);
    assert!(joined(&late).is_err());
}

#[test]
fn a_chunk_that_is_no_whole_number_of_words() {
    let mut odd = chunks();
    let at = of_kind(&odd, START_NAMESPACE);
    odd[at].extend([0, 0]);
    let len = odd[at].len() as u32;
    put(&mut odd[at], 4, len);
    assert_eq!(rule(joined(&odd)), Rule::MalformedXml);
}

#[test]
fn unknown_chunks_are_skipped_as_devices_do() {
    let mut more = chunks();
    more.insert(
        1,
        [&[0x77, 0x77, 8, 0][..], &12_u32.to_le_bytes(), &[1; 4]].concat(),
    );
    more.push([&[0x78, 0x01, 16, 0][..], &16_u32.to_le_bytes(), &[0; 8]].concat());
    assert_eq!(joined(&more).unwrap().version_code, 7);
    // Behind the first node each has the header of one.
    more.push([&[0x78, 0x01, 8, 0][..], &8_u32.to_le_bytes()].concat());
    assert_eq!(rule(joined(&more)), Rule::MalformedXml);
}

#[test]
fn counts_and_places_of_strings_and_styles_that_do_not_fit() {
    // Offsets in the pool's header.
    const STRINGS: usize = 8;
    const STYLES: usize = 12;
    const STRINGS_START: usize = 20;
    const STYLES_START: usize = 24;
    let size = chunks()[0].len() as u32;
    for (what, changes) in [
        ("more strings", vec![(STRINGS, 0x4000_0001)]),
        ("more strings than fit", vec![(STRINGS, size)]),
        (
            "more styles than fit",
            vec![(STYLES, size), (STYLES_START, size - 8)],
        ),
        ("styles before the strings", vec![(STYLES, 1), (STYLES_START, 28)]),
        ("styles outside", vec![(STYLES, 1), (STYLES_START, size)]),
        (
            "styles that never end",
            vec![(STYLES, 1), (STYLES_START, size - 12)],
        ),
        ("strings at the end", vec![(STRINGS_START, size - 2)]),
        ("strings outside", vec![(STRINGS_START, size + 4)]),
    ] {
        let mut wrong = chunks();
        for (at, value) in changes {
            put(&mut wrong[0], at, value);
        }
        assert_eq!(rule(joined(&wrong)), Rule::MalformedXml, "{what}");
    }
    let mut open = chunks();
    let end = open[0].len();
    open[0][end - 4..].fill(b'x');
    assert_eq!(
        rule(joined(&open)),
        Rule::MalformedXml,
        "a last string without end"
    );
    let mut odd = chunks();
    let count = u32::from_le_bytes(odd[0][STRINGS..STRINGS + 4].try_into().unwrap()) as usize;
    for at in (28..).step_by(4).take(count) {
        odd[0][at] += 1;
    }
    assert!(joined(&odd).is_err(), "a string at an odd place");
}

#[test]
fn a_string_whose_lengths_disagree() {
    let apk = |name: &str| {
        ApkBuilder::new("com.example.app", 7)
            .version_name(name)
            .utf8_strings()
    };
    let mut bytes = read_entry(&apk("nine-long").unsigned(), MANIFEST, 1 << 20).unwrap();
    let at = bytes
        .windows(9)
        .position(|window| window == b"nine-long")
        .unwrap();
    bytes[at - 2] = 4;
    let result = inspect(&ApkBuilder::new("a.b", 1).raw_manifest(bytes.clone()).unsigned());
    assert_eq!(rule(result), Rule::MalformedXml);
    bytes[at - 2..at].fill(4);
    let result = inspect(&ApkBuilder::new("a.b", 1).raw_manifest(bytes).unsigned());
    assert_eq!(rule(result), Rule::MalformedXml);
}

#[test]
fn an_element_in_a_namespace() {
    for name in ["application", "uses-sdk"] {
        let hidden = edited(|root| {
            root.child(name).unwrap().namespace = Some("urn:hidden".to_owned());
        });
        assert_eq!(rule(hidden), Rule::TwoReadings, "{name}");
    }
    assert_eq!(
        rule(edited(|root| root.namespace = Some("urn:x".to_owned()))),
        Rule::TwoReadings
    );
    // One that devices know nothing of is no matter.
    let known = edited(|root| {
        let mut feature = XmlElement::new("enable-feature");
        feature.namespace = Some("http://schemas.amazon.com/apk/res/android".to_owned());
        root.child("application").unwrap().children.push(feature);
    });
    assert!(known.is_ok());
}

#[test]
fn an_attribute_behind_one_of_a_higher_id() {
    let disordered = edited(|root| {
        root.in_order = false;
        root.attributes.reverse();
    });
    assert_eq!(rule(disordered), Rule::TwoReadings);
    let hidden = edited(|root| {
        let application = root.child("application").unwrap();
        application.in_order = false;
        application.attributes = vec![
            XmlAttribute::android(0x0101_0fff, "later", XmlValue::Boolean(true)),
            XmlAttribute::android(DEBUGGABLE, "debuggable", XmlValue::Boolean(true)),
        ];
    });
    assert_eq!(rule(hidden), Rule::TwoReadings);
}

#[test]
fn an_attribute_with_the_name_of_another() {
    let swapped = edited(|root| {
        root.attribute("versionName").unwrap().name = "versionCode".to_owned();
    });
    assert_eq!(rule(swapped), Rule::TwoReadings);
    // What the first look finds by its name needs one; elsewhere tools may leave it out.
    for name in ["versionCode", "versionName"] {
        let nameless = edited(|root| root.attribute(name).unwrap().name = String::new());
        match name {
            "versionCode" => assert_eq!(rule(nameless), Rule::TwoReadings),
            _ => assert_eq!(nameless.unwrap().version_name, "7"),
        }
    }
    let level = edited(|root| {
        let sdk = root.child("uses-sdk").unwrap();
        sdk.attribute("targetSdkVersion").unwrap().name = String::new();
    });
    assert_eq!(rule(level), Rule::TwoReadings);
}

#[test]
fn an_attribute_that_is_spelled_otherwise() {
    for spelling in [Spelling::As("com.example.other".to_owned()), Spelling::Nothing] {
        let package = edited(|root| root.attribute("package").unwrap().spelling = spelling);
        assert_eq!(rule(package), Rule::TwoReadings);
    }
    let name = |spelling| edited(|root| root.attribute("versionName").unwrap().spelling = spelling);
    assert_eq!(rule(name(Spelling::As("8".to_owned()))), Rule::TwoReadings);
    assert_eq!(name(Spelling::Nothing).unwrap().version_name, "7");
    let level = |spelling: &str| {
        edited(|root| {
            let level = root
                .child("uses-sdk")
                .unwrap()
                .attribute("minSdkVersion")
                .unwrap();
            level.spelling = Spelling::As(spelling.to_owned());
        })
    };
    assert_eq!(level("24").unwrap().min_sdk, 24);
    assert_eq!(rule(level("21")), Rule::TwoReadings);
}

#[test]
fn two_applications_and_two_uses_sdk() {
    let twice = |name: &str, change: bool| {
        edited(|root| {
            let mut second = root.child(name).unwrap().clone();
            if change {
                second.attributes.truncate(1);
            }
            root.children.push(second);
        })
    };
    assert_eq!(rule(twice("application", false)), Rule::TwoReadings);
    assert_eq!(rule(twice("uses-sdk", true)), Rule::TwoReadings);
    assert!(twice("uses-sdk", false).is_ok());
}

#[test]
fn a_number_or_a_truth_that_is_text() {
    for value in [
        text("7"),
        XmlValue::Typed(4, 0x40e0_0000),
        XmlValue::Typed(5, 1),
        XmlValue::Typed(0, 1),
    ] {
        let result = edited(|root| root.attribute("versionCode").unwrap().value = value.clone());
        assert_eq!(rule(result), Rule::AttributeType, "{value:?}");
    }
    let flag = XmlAttribute::android(DEBUGGABLE, "debuggable", text("true"));
    let result = edited(|root| root.child("application").unwrap().attributes.push(flag));
    assert_eq!(rule(result), Rule::AttributeType);
    // What stands for a boolean is a number to devices.
    let boolean = edited(|root| root.attribute("versionCode").unwrap().value = XmlValue::Boolean(true));
    assert_eq!(boolean.unwrap().version_code, 0xffff_ffff);
}

#[test]
fn a_truth_that_differs_by_configuration_is_true() {
    let flag = |name: &str, id: u32| {
        let apk = app().resource(&[XmlValue::Boolean(false), XmlValue::Boolean(true)]);
        let apk = apk.edit_manifest(|root| {
            let attribute = XmlAttribute::android(id, name, XmlValue::Reference(0x7f01_0000));
            root.child("application").unwrap().attributes.push(attribute);
        });
        inspect(&apk.unsigned()).unwrap()
    };
    assert!(flag("debuggable", DEBUGGABLE).debuggable);
    assert!(flag("testOnly", TEST_ONLY).test_only);
}

#[test]
fn a_version_code_that_is_a_reference() {
    let code = |name: &str, id: u32, values: &[i32]| {
        let values: Vec<XmlValue> = values.iter().copied().map(XmlValue::Integer).collect();
        let apk = app().resource(&values).edit_manifest(|root| {
            root.attributes.retain(|attribute| attribute.name != name);
            let reference = XmlValue::Reference(0x7f01_0000);
            root.attributes.push(XmlAttribute::android(id, name, reference));
        });
        inspect(&apk.unsigned())
    };
    for (name, id) in [("versionCode", 0x0101_021b), ("versionCodeMajor", 0x0101_0576)] {
        assert_eq!(rule(code(name, id, &[9])), Rule::TwoReadings, "{name}");
        assert_eq!(rule(code(name, id, &[9, 10])), Rule::TwoReadings, "{name}");
    }
    // A reference to nothing is no number to anybody.
    let none = edited(|root| root.attribute("versionCode").unwrap().value = XmlValue::Reference(0));
    assert_eq!(none.unwrap().version_code, 0);
}

#[test]
fn a_level_that_is_a_number_and_not_a_decimal() {
    let level = |name: &str, kind: u8, spelling: Spelling| {
        edited(|root| {
            let level = root.child("uses-sdk").unwrap().attribute(name).unwrap();
            level.value = XmlValue::Typed(kind, 26);
            level.spelling = spelling;
        })
    };
    for name in ["minSdkVersion", "targetSdkVersion"] {
        for kind in [0x11, 0x1c, 0x1d, 0x1e, 0x1f] {
            let unspelled = level(name, kind, Spelling::Nothing);
            assert_eq!(rule(unspelled), Rule::AttributeType, "{name} {kind:#x}");
            assert!(level(name, kind, Spelling::As("26".to_owned())).is_ok());
            let hex = level(name, kind, Spelling::As("0x1a".to_owned()));
            assert_eq!(rule(hex), Rule::TwoReadings, "{name} {kind:#x}");
        }
        assert!(level(name, 0x10, Spelling::Nothing).is_ok());
        // Java reads zeros at the start.
        assert!(level(name, 0x10, Spelling::As("026".to_owned())).is_ok());
    }
    // A version code may be written in any base.
    let code = edited(|root| root.attribute("versionCode").unwrap().value = XmlValue::Typed(0x11, 9));
    assert_eq!(code.unwrap().version_code, 9);
}

#[test]
fn an_end_without_a_start_and_two_roots() {
    const END_ELEMENT: u16 = 0x103;
    let mut twice = chunks();
    let end = twice
        .iter()
        .rposition(|chunk| kind(chunk) == END_ELEMENT)
        .unwrap();
    let again = twice[end].clone();
    twice.insert(end + 1, again);
    assert_eq!(rule(joined(&twice)), Rule::MalformedXml);
    let all = chunks();
    let start = of_kind(&all, START_NAMESPACE);
    for nodes in [start..all.len(), start + 1..all.len() - 1] {
        let roots = [&all[..], &all[nodes]].concat();
        assert_eq!(rule(joined(&roots)), Rule::MalformedXml);
    }
}

#[test]
fn bytes_behind_the_last_node() {
    let with = |bytes: &[u8]| joined(&[&chunks()[..], &[bytes.to_vec()]].concat());
    // Too few for a chunk: nobody reads them.
    for len in 1..8 {
        assert_eq!(with(&vec![0; len]).unwrap().version_code, 7, "{len}");
    }
    for bytes in [&[0; 8][..], &[0; 4096], &[0xff; 8]] {
        assert_eq!(rule(with(bytes)), Rule::MalformedXml, "{bytes:?}");
    }
    // Before the end of the root they are a fault to all.
    let mut open = chunks();
    open.truncate(open.len() - 2);
    open.push(vec![0; 4]);
    assert_eq!(rule(joined(&open)), Rule::MalformedXml);
}

#[test]
fn a_version_name_that_only_the_framework_knows() {
    for reference in [0x0104_000a, 0x7f01_0000] {
        let result = edited(|root| {
            root.attribute("versionName").unwrap().value = XmlValue::Reference(reference);
        });
        assert_eq!(result.unwrap().version_name, "", "{reference:#x}");
    }
    // A number that nobody can tell is another matter.
    let code = edited(|root| root.attribute("versionCode").unwrap().value = XmlValue::Reference(0x0105_0000));
    assert!(code.is_err());
}

#[test]
fn elements_that_never_end() {
    let open = |flag: bool| {
        edited(|root| {
            root.ended = false;
            for child in &mut root.children {
                child.ended = false;
            }
            if flag {
                let flag = XmlAttribute::android(DEBUGGABLE, "debuggable", XmlValue::Boolean(true));
                root.child("application").unwrap().attributes.push(flag);
            }
        })
    };
    let seen = open(false).unwrap();
    assert_eq!((seen.version_code, seen.min_sdk, seen.target_sdk), (7, 24, 34));
    // What is behind such an element is found by some releases and not by others.
    assert_eq!(rule(open(true)), Rule::TwoReadings);
}

#[test]
fn an_application_inside_of_another_element() {
    for name in ["application", "uses-sdk"] {
        let inside = edited(|root| {
            let known = root.child(name).unwrap().clone();
            root.children.push(XmlElement::new("x").containing(known));
        });
        assert_eq!(rule(inside), Rule::TwoReadings, "{name}");
    }
}

#[test]
fn a_value_that_gives_no_size_of_itself() {
    let small = edited(|root| root.attribute("versionCode").unwrap().value_size = 0);
    assert_eq!(small.unwrap().version_code, 7);
}

#[test]
fn a_file_of_a_set() {
    for (name, value) in [("split", "config.xxhdpi"), ("configForSplit", "feature")] {
        let split = edited(|root| root.attributes.push(XmlAttribute::plain(name, text(value))));
        assert_eq!(rule(split), Rule::Split, "{name}");
    }
    for (id, name, value) in [
        (0x0101_055b, "isFeatureSplit", XmlValue::Boolean(true)),
        (0x0101_0591, "isSplitRequired", XmlValue::Boolean(true)),
        (0x0101_064e, "requiredSplitTypes", text("base__abi,base__density")),
    ] {
        let part = edited(|root| root.attributes.push(XmlAttribute::android(id, name, value)));
        assert_eq!(rule(part), Rule::Split, "{name}");
    }
    let whole = edited(|root| {
        root.attributes.push(XmlAttribute::plain("split", text("")));
        root.attributes.push(XmlAttribute::android(
            0x0101_0591,
            "isSplitRequired",
            XmlValue::Boolean(false),
        ));
    });
    assert!(whole.is_ok());
}

#[test]
fn a_shared_user_that_is_no_name() {
    let shared = |name: &str| {
        edited(|root| {
            root.attributes
                .push(XmlAttribute::android(0x0101_000b, "sharedUserId", text(name)));
        })
    };
    assert!(shared("com.example.shared").is_ok());
    assert_eq!(rule(shared("shared")), Rule::PackageName);
}

#[test]
fn a_version_name_that_would_move_the_cursor() {
    let apk = app().version_name("1.2\n\u{1b}[1A\u{202e}VERIFIED");
    assert_eq!(
        inspect(&apk.unsigned()).unwrap().version_name,
        "1.2\\n\\u{1b}[1A\\u{202e}VERIFIED"
    );
}

#[test]
fn attributes_of_ids_that_do_not_matter_are_not_read() {
    let odd = edited(|root| {
        let strange = XmlAttribute::android(0x0101_0572, "compileSdkVersion", XmlValue::Typed(0x33, 9));
        root.attributes.push(strange);
    });
    assert!(odd.is_ok());
}
