//! Manifests that Android's parser refuses: one named test for each kind of fault, beside what it lets pass.

use tidegate_apk::build::{XmlAttribute, XmlElement, XmlValue};
use tidegate_apk::{FindingCode, Installability};

use super::install::{app, codes, judged, levels};

const NAME: u32 = 0x0101_0003;

fn attribute(name: &str, value: XmlValue) -> XmlAttribute {
    let id = match name {
        "name" => NAME,
        "manageSpaceActivity" => 0x0101_0004,
        "protectionLevel" => 0x0101_0009,
        "permissionGroup" => 0x0101_000a,
        "exported" => 0x0101_0010,
        "process" => 0x0101_0011,
        "taskAffinity" => 0x0101_0012,
        "authorities" => 0x0101_0018,
        "targetPackage" => 0x0101_0021,
        "value" => 0x0101_0024,
        "resource" => 0x0101_0025,
        "mimeType" => 0x0101_0026,
        "scheme" => 0x0101_0027,
        "host" => 0x0101_0028,
        "targetActivity" => 0x0101_0202,
        "version" => 0x0101_0519,
        "certDigest" => 0x0101_0548,
        other => panic!("{other}"),
    };
    XmlAttribute::android(id, name, value)
}

/// An element with attributes that are texts.
fn element(name: &str, texts: &[(&str, &str)]) -> XmlElement {
    texts.iter().fold(XmlElement::new(name), |element, (name, text)| {
        element.with(attribute(name, XmlValue::Text((*text).to_owned())))
    })
}

/// What becomes of an app with this child of the manifest.
fn beside(target: u32, child: XmlElement) -> Installability {
    judged(
        app()
            .target_sdk(target)
            .edit_manifest(|root| root.children.push(child)),
    )
}

/// What becomes of an app with these children of the application.
fn inside(target: u32, children: &[XmlElement]) -> Installability {
    judged(app().target_sdk(target).edit_manifest(|root| {
        let application = root.child("application").expect("as it is built here");
        application.children.extend(children.iter().cloned());
    }))
}

/// Checks that levels from `first` on refuse it, and that the finding says so of `place`.
fn refused(found: &Installability, first: u32, place: &str) {
    let expected = match first {
        0..=24 => String::new(),
        25 => "24".to_owned(),
        first => format!("24-{}", first - 1),
    };
    assert_eq!(levels(found), expected, "{found:?}");
    let mut findings = found.findings.iter();
    let finding = findings
        .find(|one| one.code == FindingCode::ManifestMalformed)
        .expect("a finding");
    assert!(
        finding.blocks && finding.file == "AndroidManifest.xml",
        "{finding:?}"
    );
    assert!(finding.detail.starts_with(place), "{}", finding.detail);
    assert!(finding.detail.ends_with("(-108)"), "{}", finding.detail);
}

fn taken(found: &Installability) {
    assert_eq!(levels(found), "24+", "{found:?}");
    assert!(
        !codes(found).contains(&FindingCode::ManifestMalformed),
        "{found:?}"
    );
}

fn activity(name: &str) -> XmlElement {
    element("activity", &[("name", name)])
}

/// A hidden activity whose filter contains this.
fn filtering(part: XmlElement) -> XmlElement {
    let filter = XmlElement::new("intent-filter").containing(part);
    activity(".Main")
        .with(attribute("exported", XmlValue::Boolean(false)))
        .containing(filter)
}

#[test]
fn a_component_or_declaration_without_name() {
    for name in ["activity", "service", "receiver"] {
        refused(
            &inside(34, &[element(name, &[])]),
            1,
            &format!("<{name}> has no android:name"),
        );
        refused(
            &inside(34, &[element(name, &[("name", "")])]),
            1,
            &format!("<{name}>"),
        );
        taken(&inside(34, &[element(name, &[("name", ".One")])]));
    }
    for name in [
        "permission",
        "permission-group",
        "instrumentation",
        "permission-tree",
    ] {
        refused(
            &beside(34, element(name, &[])),
            1,
            &format!("<{name}> has no android:name"),
        );
        taken(&beside(34, element(name, &[("name", "com.example.one")])));
    }
    refused(
        &inside(34, &[element("provider", &[("authorities", "a.b")])]),
        1,
        "<provider>",
    );
    // Of these, Android reads nothing without a name.
    for name in [
        "uses-permission",
        "uses-feature",
        "uses-library",
        "supports-screens",
        "activity",
    ] {
        taken(&beside(34, element(name, &[])));
    }
    taken(&inside(
        34,
        &[element("uses-library", &[]), element("unknown", &[])],
    ));
}

#[test]
fn several_of_a_kind_are_one_finding() {
    let found = inside(
        34,
        &[
            element("service", &[]),
            element("receiver", &[]),
            element("activity", &[]),
        ],
    );
    refused(&found, 1, "<service> (and 2 more) has no android:name");
    let malformed = codes(&found)
        .into_iter()
        .filter(|code| *code == FindingCode::ManifestMalformed);
    assert_eq!(malformed.count(), 1);
}

#[test]
fn a_name_that_android_keeps_for_itself() {
    refused(
        &inside(34, &[activity("android.app.AppDetailsActivity")]),
        29,
        "<activity>",
    );
}

#[test]
fn an_action_or_a_category_without_name() {
    for name in ["action", "category"] {
        for target in [29, 30, 34] {
            let found = inside(target, &[filtering(element(name, &[]))]);
            refused(
                &found,
                1,
                &format!("<{name}> in <activity> .Main has no android:name"),
            );
        }
        let empty = element(name, &[("name", "")]);
        taken(&inside(29, &[filtering(empty.clone())]));
        refused(
            &inside(30, &[filtering(empty)]),
            30,
            &format!("<{name}> in <activity> .Main"),
        );
        // A name is looked for by its name and namespace.
        let mut nameless = element(name, &[("name", "a.b")]);
        nameless.attributes[0].name = String::new();
        refused(&inside(34, &[filtering(nameless)]), 1, &format!("<{name}>"));
        let reference = XmlElement::new(name).with(attribute("name", XmlValue::Reference(0x7f01_0000)));
        taken(&inside(34, &[filtering(reference)]));
    }
    // Elsewhere it is an element like any other.
    taken(&inside(
        34,
        &[activity(".Main").containing(element("action", &[]))],
    ));
}

#[test]
fn a_type_of_data_that_is_none() {
    for kind in ["text", "/plain", "text/", ""] {
        refused(
            &inside(34, &[filtering(element("data", &[("mimeType", kind)]))]),
            1,
            "<data>",
        );
    }
    for kind in ["text/plain", "*/*", "a/b/c"] {
        taken(&inside(34, &[filtering(element("data", &[("mimeType", kind)]))]));
    }
    taken(&inside(34, &[filtering(element("data", &[("scheme", "https")]))]));
}

#[test]
fn a_provider_without_authorities() {
    let provider = |texts: &[(&str, &str)]| {
        element("provider", texts).with(attribute("exported", XmlValue::Boolean(false)))
    };
    refused(
        &inside(34, &[provider(&[("name", ".P")])]),
        1,
        "<provider> .P has no android:authorities",
    );
    refused(
        &inside(34, &[provider(&[("name", ".P"), ("authorities", "")])]),
        24,
        "<provider> .P",
    );
    taken(&inside(
        34,
        &[provider(&[("name", ".P"), ("authorities", "a;b")])],
    ));
    let reference = attribute("authorities", XmlValue::Reference(0x7f01_0000));
    taken(&inside(34, &[provider(&[("name", ".P")]).with(reference)]));
}

#[test]
fn meta_data_without_name_or_value() {
    let named = |name: &str| element(name, &[("name", "x")]);
    for (name, first) in [("meta-data", 1), ("property", 31)] {
        let nameless = element(name, &[("value", "1")]);
        refused(
            &inside(34, std::slice::from_ref(&nameless)),
            first,
            &format!("<{name}> has no android:name"),
        );
        refused(
            &inside(34, &[activity(".M").containing(nameless)]),
            first,
            &format!("<{name}> in <activity> .M"),
        );
        refused(
            &inside(34, &[named(name)]),
            first,
            &format!("<{name}> x has neither"),
        );
        let nothing = XmlValue::Reference(0);
        refused(
            &inside(34, &[named(name).with(attribute("value", nothing.clone()))]),
            first,
            &format!("<{name}>"),
        );
        refused(
            &inside(34, &[named(name).with(attribute("resource", nothing))]),
            first,
            &format!("<{name}>"),
        );
        for value in [
            XmlValue::Text(String::new()),
            XmlValue::Text("x".repeat(20_000)),
            XmlValue::Boolean(false),
        ] {
            taken(&inside(34, &[named(name).with(attribute("value", value))]));
        }
        let resource = attribute("resource", XmlValue::Reference(0x7f01_0000));
        taken(&inside(34, &[named(name).with(resource)]));
        // Beside the application nobody reads it.
        taken(&beside(34, element(name, &[])));
    }
    let permission = element("permission", &[("name", "a.b.C")]).containing(element("meta-data", &[]));
    assert_eq!(levels(&beside(34, permission)), "");
}

#[test]
fn an_alias_without_its_activity() {
    let alias = |texts: &[(&str, &str)]| {
        element("activity-alias", texts).with(attribute("exported", XmlValue::Boolean(true)))
    };
    let of = |target: &str| alias(&[("name", ".A"), ("targetActivity", target)]);
    refused(
        &inside(34, &[alias(&[("name", ".A")])]),
        1,
        "<activity-alias> .A has no android:targetActivity",
    );
    refused(&inside(34, &[of("")]), 1, "<activity-alias> .A");
    refused(
        &inside(34, &[of(".Main")]),
        1,
        "<activity-alias> .A has an android:targetActivity",
    );
    refused(
        &inside(34, &[of(".Main"), activity(".Main")]),
        1,
        "<activity-alias> .A",
    );
    for target in [".Main", "Main", "com.example.app.Main"] {
        taken(&inside(34, &[activity("com.example.app.Main"), of(target)]));
    }
    let second = alias(&[("name", ".B"), ("targetActivity", ".A")]);
    taken(&inside(34, &[activity(".Main"), of(".Main"), second]));
    let receiver = element("receiver", &[("name", ".Main")]);
    refused(&inside(34, &[receiver, of(".Main")]), 1, "<activity-alias> .A");
}

#[test]
fn a_process_or_an_affinity_that_is_no_name() {
    for name in ["a b", "remote", ":", ":1", "com.1a"] {
        for attribute in ["process", "taskAffinity"] {
            let with = activity(".Main").with(super::faults::attribute(
                attribute,
                XmlValue::Text(name.to_owned()),
            ));
            refused(&inside(34, &[with]), 1, "<activity> .Main has an android:");
        }
        let found = judged(app().edit_manifest(|root| {
            let process = attribute("process", XmlValue::Text(name.to_owned()));
            root.child("application").unwrap().attributes.push(process);
        }));
        refused(&found, 1, "<application> has an android:process");
        let processes = XmlElement::new("processes").containing(element("process", &[("process", name)]));
        refused(&inside(34, &[processes]), 30, "<process> has an android:process");
    }
    for name in ["", ":remote", "com.example.other", "system"] {
        let texts = [("name", ".One"), ("process", name), ("taskAffinity", name)];
        taken(&inside(34, &[element("activity", &texts)]));
    }
    // A service has no affinity.
    taken(&inside(
        34,
        &[element("service", &[("name", ".S"), ("taskAffinity", "a b")])],
    ));
}

#[test]
fn an_application_that_names_an_empty_class() {
    for name in ["name", "manageSpaceActivity"] {
        let found = judged(app().edit_manifest(|root| {
            let empty = attribute(name, XmlValue::Text(String::new()));
            root.child("application").unwrap().attributes.push(empty);
        }));
        refused(&found, 1, "<application> names an empty class");
    }
}

#[test]
fn permissions_that_contradict_themselves() {
    let permission = |level: i32, group: &str| {
        element("permission", &[("name", "a.b.C"), ("permissionGroup", group)]).with(attribute(
            "protectionLevel",
            XmlValue::Typed(0x11, level.cast_unsigned()),
        ))
    };
    let declared = |permissions: &[XmlElement]| {
        judged(app().edit_manifest(|root| root.children.extend(permissions.iter().cloned())))
    };
    for level in [0x10, 0x11, 0x21] {
        refused(
            &declared(&[permission(level, "g")]),
            1,
            "<permission> a.b.C has an android:protectionLevel",
        );
    }
    for level in [0, 1, 2, 3, 0x12, 0x13, 0x14, 0x1001, 0x2001, 0x40] {
        taken(&declared(&[permission(level, "g"), permission(level, "g")]));
    }
    refused(
        &declared(&[permission(1, "g"), permission(2, "g")]),
        33,
        "<permission> a.b.C is declared twice",
    );
    refused(
        &declared(&[permission(1, "g"), permission(1, "h")]),
        33,
        "<permission> a.b.C is declared twice",
    );
    let tree = |name: &str| beside(34, element("permission-tree", &[("name", name)]));
    refused(
        &tree("com.example"),
        1,
        "<permission-tree> com.example has a name",
    );
    taken(&tree("com.example.tree"));
}

#[test]
fn queries_that_ask_for_nothing_or_too_much() {
    let queries = |part: XmlElement| beside(34, XmlElement::new("queries").containing(part));
    let intent = |parts: &[XmlElement]| {
        let mut intent = XmlElement::new("intent");
        intent.children.extend(parts.iter().cloned());
        queries(intent)
    };
    let action = |name: &str| element("action", &[("name", name)]);
    refused(&queries(element("package", &[])), 30, "<package> in <queries>");
    refused(
        &queries(element("provider", &[("name", "x")])),
        30,
        "<provider> x in <queries>",
    );
    refused(&intent(&[]), 30, "<intent> in <queries> has neither");
    refused(
        &intent(&[element("category", &[("name", "a.b")])]),
        30,
        "<intent> in <queries>",
    );
    refused(
        &intent(&[action("a"), action("b")]),
        30,
        "<intent> in <queries> has more",
    );
    refused(&intent(&[element("action", &[])]), 30, "<");
    for (name, one, two) in [
        ("scheme", "http", "https"),
        ("mimeType", "a/b", "a/c"),
        ("host", "a", "a"),
    ] {
        let data = |text: &str| element("data", &[(name, text)]);
        refused(
            &intent(&[action("a"), data(one), data(two)]),
            30,
            "<intent> in <queries> has more",
        );
    }
    let data = element("data", &[("scheme", "https"), ("host", "a")]);
    taken(&intent(&[action("a"), action("a"), data.clone()]));
    taken(&intent(&[data]));
    taken(&queries(element("package", &[("name", "a.b")])));
    taken(&queries(element("provider", &[("authorities", "a.b")])));
}

#[test]
fn further_elements_that_lack_what_they_need() {
    refused(
        &beside(34, element("overlay", &[])),
        1,
        "<overlay> has no android:targetPackage",
    );
    taken(&beside(34, element("overlay", &[("targetPackage", "a.b")])));
    refused(&beside(34, element("uses-split", &[])), 26, "<uses-split>");
    let library = |texts: &[(&str, &str)], version: bool| {
        let library = element("uses-static-library", texts);
        inside(
            34,
            &[if version {
                library.with(attribute("version", XmlValue::Integer(1)))
            } else {
                library
            }],
        )
    };
    refused(
        &library(&[("name", "a.b")], true),
        26,
        "<uses-static-library> a.b",
    );
    refused(
        &library(&[("name", "a.b"), ("certDigest", "00")], false),
        26,
        "<uses-static-library> a.b",
    );
    taken(&library(&[("name", "a.b"), ("certDigest", "00")], true));
}

#[test]
fn what_cannot_be_read_is_no_fault() {
    // Names in another order than that of their ids are not found by devices, and refused as such where it matters.
    let mut disordered = element("meta-data", &[("value", "1"), ("name", "x")]);
    disordered.in_order = false;
    taken(&inside(34, &[disordered]));
    let mut hidden = element("meta-data", &[]);
    hidden.namespace = Some("urn:other".to_owned());
    assert_eq!(
        levels(&inside(34, &[hidden])),
        "",
        "devices compare names without their namespace"
    );
}
