//! Archives that two readers would understand differently, or that would exhaust one.

use std::io;

use tidegate_apk::build::{ApkBuilder, SigningKey};
use tidegate_apk::{Error, Rule, SdkRange, Source, WarningKind, inspect, read_entry, verify};

use super::anatomy::{Anatomy, regions, replace, u32_at};

fn apk() -> Vec<u8> {
    ApkBuilder::new("com.example.app", 7)
        .stored_file("assets/first.bin", vec![1; 300])
        .stored_file("assets/second.bin", vec![2; 300])
        .unsigned()
}

fn rule(bytes: &[u8]) -> Rule {
    match inspect(&bytes) {
        Ok(seen) => panic!("accepted: {seen:?}"),
        Err(error @ Error::Archive(_)) => error.rule().expect("an archive error has a rule"),
        Err(other) => panic!("not an archive error: {other}"),
    }
}

/// Where the directory's record and the local header of `name` start.
fn records(bytes: &[u8], name: &str) -> (usize, usize) {
    let [_, _, directory, _] = regions(bytes);
    let name = name.as_bytes();
    let found = bytes[directory.clone()]
        .windows(name.len())
        .position(|window| window == name);
    let record = directory.start + found.expect("the entry is there") - 46;
    (record, u32_at(bytes, record + 42) as usize)
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Sets packed and unpacked size in both headers, so that they agree on the lie.
fn lie_about_sizes(bytes: &mut [u8], name: &str, packed: u32, unpacked: u32) {
    let (record, local) = records(bytes, name);
    for (at, value) in [
        (record + 20, packed),
        (record + 24, unpacked),
        (local + 18, packed),
        (local + 22, unpacked),
    ] {
        put(bytes, at, value);
    }
}

#[test]
fn something_that_is_no_archive() {
    for bytes in [&b""[..], b"PK", b"PK\x03\x04", &[0; 5000]] {
        assert_eq!(rule(bytes), Rule::NotAZip);
    }
}

#[test]
fn a_file_cut_off_anywhere() {
    let whole = apk();
    for len in 0..whole.len() {
        let rule = rule(&whole[..len]);
        assert!(matches!(rule, Rule::NotAZip | Rule::Truncated), "{rule} at {len}");
    }
}

#[test]
fn bytes_behind_the_end() {
    let mut bytes = apk();
    bytes.extend(b"more");
    let error = inspect(&bytes).unwrap_err();
    assert_eq!(error.rule(), Some(Rule::Truncated));
    assert!(
        error
            .to_string()
            .contains("4 bytes follow the end of the archive"),
        "{error}"
    );
    // However many they are, up to a bound; a mark of an end among them is none.
    for (len, told) in [
        (1_usize, "1 byte follows the end of the archive"),
        (65_536, "65536 bytes follow the end of the archive"),
        (70_000, "70000 bytes follow the end of the archive"),
        (3 << 20, "3145728 bytes follow the end of the archive"),
        // The record lies in two of the pieces that are read.
        ((1 << 20) - 11, "1048565 bytes follow the end of the archive"),
    ] {
        let mut bytes = apk();
        bytes.extend(vec![0xaa; len]);
        let error = inspect(&bytes).unwrap_err();
        assert_eq!(error.rule(), Some(Rule::Truncated), "{len}");
        assert!(error.to_string().contains(told), "{error}");
        if len > 1_000_000 {
            let decoy = bytes.len() - len / 2;
            bytes[decoy..decoy + 4].copy_from_slice(b"PK\x05\x06");
            let error = inspect(&bytes).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
    let mut cut = apk();
    let at = cut.len() - 2;
    cut[at] = 9;
    let error = inspect(&cut).unwrap_err().to_string();
    assert!(error.contains("cut off: 9 bytes"), "{error}");
}

#[test]
fn the_longest_comment_is_no_fault() {
    let with_comment = |len: u16| {
        let mut bytes = apk();
        let at = bytes.len() - 2;
        bytes[at..].copy_from_slice(&len.to_le_bytes());
        bytes.extend(vec![b'c'; usize::from(len)]);
        bytes
    };
    assert!(inspect(&with_comment(u16::MAX - 1)).is_ok());
    // Android takes this length for a sign of ZIP64.
    assert_eq!(rule(&with_comment(u16::MAX)), Rule::Zip64);
}

#[test]
fn more_entries_than_an_archive_can_count() {
    let [_, _, directory, end] = regions(&apk());
    let (record, _) = records(&apk(), "assets/first.bin");
    let record = apk()[record..record + 46 + "assets/first.bin".len()].to_vec();
    for (records, counted) in [(65_600_u32, 64_u16), (65_535, 65_535)] {
        let mut anatomy = Anatomy::of(&apk());
        anatomy.directory = record.repeat(records as usize);
        for at in [8, 10] {
            anatomy.end[at..at + 2].copy_from_slice(&counted.to_le_bytes());
        }
        let error = inspect(&anatomy.build()).unwrap_err();
        assert_eq!(error.rule(), Some(Rule::TooManyEntries), "{error}");
        assert!(error.to_string().contains("at most 65534"), "{error}");
    }
    assert!(directory.end == end.start);
}

#[test]
fn a_file_that_does_not_begin_with_an_entry() {
    let prefix = b"dex\n035\0 and so on";
    let mut anatomy = Anatomy::of(&apk());
    anatomy.entries.splice(0..0, prefix.iter().copied());
    let mut at = 0;
    while at < anatomy.directory.len() {
        let moved = u32_at(&anatomy.directory, at + 42) + prefix.len() as u32;
        put(&mut anatomy.directory, at + 42, moved);
        at += 46 + usize::from(anatomy.directory[at + 28]) + usize::from(anatomy.directory[at + 30]);
    }
    assert_eq!(rule(&anatomy.build()), Rule::Prefix);
}

#[test]
fn an_entry_inside_the_signing_block() {
    let apk = ApkBuilder::new("com.example.app", 1)
        .sign(&SigningKey::generate("block").unwrap())
        .unwrap();
    let mut honest = Anatomy::of(&apk);
    let entries = honest.entries.len();
    honest.add_entry("classes.dex", b"evil");
    // The entry's bytes move into a pair of the block that nobody knows.
    let moved = honest.entries.split_off(entries);
    honest.pairs.insert(0, (0x4242_4242, moved));
    let at = honest.directory.len() - 11 - 4;
    // Behind the block's length, the pair's length and its id.
    put(&mut honest.directory, at, entries as u32 + 8 + 12);
    let bytes = honest.build();
    assert_eq!(rule(&bytes), Rule::EntryInSigningBlock);
    let error = verify(&bytes, SdkRange::from(24)).unwrap_err();
    assert_eq!(error.rule(), Some(Rule::EntryInSigningBlock));
}

#[test]
fn a_compression_that_android_does_not_read() {
    for method in [1_u8, 9, 12, 14, 93, 95] {
        let mut bytes = apk();
        let (record, _) = records(&bytes, "assets/first.bin");
        bytes[record + 10] = method;
        assert_eq!(rule(&bytes), Rule::CompressionMethod, "{method}");
    }
}

#[test]
fn a_compression_that_only_the_check_of_v1_meets_is_taken_for_deflate() {
    let key = SigningKey::generate("v1").unwrap();
    let apk = ApkBuilder::new("com.example.app", 1).min_sdk(21).target_sdk(29);
    let mut bytes = apk.sign_with(&key, &[tidegate_apk::Scheme::V1]).unwrap();
    let (record, _) = records(&bytes, "META-INF/MANIFEST.MF");
    assert_eq!(bytes[record + 10], 8);
    bytes[record + 10] = 21;
    assert!(verify(&bytes, SdkRange::from(21)).is_ok());
}

#[test]
fn a_name_in_cesu_8_is_read_and_its_twin_in_utf_8_is_the_same_name() {
    let cesu = b"\xed\xa0\xbd\xed\xb8\x80";
    let with = |other: &str| {
        let apk = ApkBuilder::new("com.example.app", 7).stored_file("assets/SIXSIX", vec![1; 9]);
        let mut bytes = apk.stored_file(other, vec![2; 9]).unsigned();
        for _ in 0..2 {
            replace(&mut bytes, b"SIXSIX", cesu);
        }
        bytes
    };
    assert_eq!(
        read_entry(&with("assets/x"), "assets/\u{1f600}", 99).unwrap(),
        [1; 9]
    );
    assert_eq!(rule(&with("assets/\u{1f600}")), Rule::DuplicateEntry);
}

#[test]
fn headers_that_disagree_on_whether_sizes_follow_the_data() {
    let (record, local) = records(&apk(), "assets/first.bin");
    let mut bytes = apk();
    bytes[record + 8] |= 8;
    assert_eq!(read_entry(&bytes, "assets/first.bin", 1000).unwrap(), [1; 300]);
    // The local header's word counts, and then its sizes don't.
    let mut bytes = apk();
    bytes[local + 6] |= 8;
    bytes[local + 14..local + 26].fill(0);
    assert_eq!(read_entry(&bytes, "assets/first.bin", 1000).unwrap(), [1; 300]);
}

#[test]
fn an_end_record_inside_the_comment_of_another() {
    // Read from the end, the inner one comes first; read by its length, the outer one is whole as well.
    let inner = apk();
    let mut bytes = apk();
    let at = bytes.len() - 2;
    bytes[at..].copy_from_slice(&(inner.len() as u16).to_le_bytes());
    bytes.extend(&inner);
    assert_eq!(rule(&bytes), Rule::AmbiguousDirectory);
    // A bare signature in the comment confuses readers that look for no more than that.
    let mut bytes = apk();
    let comment = [b"PK\x05\x06".as_slice(), &[b' '; 40]].concat();
    let at = bytes.len() - 2;
    bytes[at..].copy_from_slice(&(comment.len() as u16).to_le_bytes());
    bytes.extend(comment);
    assert_eq!(rule(&bytes), Rule::AmbiguousDirectory);
}

#[test]
fn a_second_directory_behind_the_first() {
    let mut anatomy = Anatomy::of(&apk());
    anatomy.directory.extend(anatomy.directory.clone());
    assert_eq!(rule(&anatomy.build()), Rule::AmbiguousDirectory);
    // An entry that the count does not include.
    let mut bytes = apk();
    let [.., end] = regions(&bytes);
    for at in [end.start + 8, end.start + 10] {
        bytes[at] -= 1;
    }
    assert_eq!(rule(&bytes), Rule::AmbiguousDirectory);
    // One that it includes but that is not there.
    for at in [end.start + 8, end.start + 10] {
        bytes[at] += 2;
    }
    assert_eq!(rule(&bytes), Rule::Truncated);
}

#[test]
fn a_directory_that_is_elsewhere() {
    let [_, _, directory, end] = regions(&apk());
    for start in [directory.start as u32 + 1, 0x7fff_ffff, 0xffff_fffe] {
        let mut bytes = apk();
        put(&mut bytes, end.start + 16, start);
        assert_eq!(rule(&bytes), Rule::Truncated);
    }
    let mut bytes = apk();
    put(&mut bytes, end.start + 16, directory.start as u32 - 1);
    assert_eq!(rule(&bytes), Rule::MalformedRecord);
}

#[test]
fn fields_of_4_gib_and_zip64() {
    let [.., end] = regions(&apk());
    for at in [end.start + 12, end.start + 16] {
        let mut bytes = apk();
        put(&mut bytes, at, u32::MAX);
        assert_eq!(rule(&bytes), Rule::Zip64);
    }
    for field in [20, 24, 42] {
        let mut bytes = apk();
        let (record, _) = records(&bytes, "assets/first.bin");
        put(&mut bytes, record + field, u32::MAX);
        assert_eq!(rule(&bytes), Rule::Zip64);
    }
    let anatomy = Anatomy::of(&apk());
    let locator = [b"PK\x06\x07".as_slice(), &[0; 16]].concat();
    let bytes = [anatomy.entries, anatomy.directory, locator, anatomy.end].concat();
    assert_eq!(rule(&bytes), Rule::Zip64);
}

#[test]
fn a_crc_that_is_wrong_in_both_headers_is_ignored_as_devices_do() {
    for name in ["AndroidManifest.xml", "assets/first.bin"] {
        let mut bytes = apk();
        let (record, local) = records(&bytes, name);
        put(&mut bytes, record + 16, 0x1234_5678);
        put(&mut bytes, local + 14, 0x1234_5678);
        assert_eq!(inspect(&bytes).unwrap().version_code, 7, "{name}");
        assert!(read_entry(&bytes, name, 1 << 20).is_ok(), "{name}");
        // In one of them it is a file with two readings.
        put(&mut bytes, local + 14, 0x1234_5679);
        assert_eq!(rule(&bytes), Rule::HeaderMismatch, "{name}");
    }
}

#[test]
fn several_disks() {
    let [.., end] = regions(&apk());
    for at in [4, 6] {
        let mut bytes = apk();
        bytes[end.start + at] = 1;
        assert_eq!(rule(&bytes), Rule::MultiDisk);
    }
}

#[test]
fn a_name_that_cannot_be_decoded() {
    let mut bytes = apk();
    for _ in 0..2 {
        replace(&mut bytes, b"assets/first.bin", b"assets/fir\xfft.bin");
    }
    assert_eq!(rule(&bytes), Rule::EntryName);
}

/// The signing tools sign and accept it, so a verdict that agrees with theirs can only warn.
#[test]
fn a_name_that_a_device_cuts_short() {
    let name = "assets/fir\0t.bin";
    let bytes = ApkBuilder::new("com.example.app", 1)
        .stored_file(name, vec![7; 64])
        .sign(&SigningKey::generate("nul").unwrap())
        .unwrap();
    let verification = verify(&bytes, SdkRange::from(24)).unwrap();
    let kinds: Vec<_> = verification.warnings.iter().map(|warning| warning.kind).collect();
    assert!(kinds.contains(&WarningKind::UnreadableName), "{kinds:?}");
}

#[test]
fn a_local_header_that_disagrees_with_the_directory() {
    let (_, local) = records(&apk(), "assets/first.bin");
    for (what, at) in [
        ("CRC-32", 14),
        ("packed size", 18),
        ("size", 22),
        ("name length", 26),
        ("name", 30),
    ] {
        let mut bytes = apk();
        bytes[local + at] ^= 8;
        assert_eq!(rule(&bytes), Rule::HeaderMismatch, "{what}");
    }
    let mut bytes = apk();
    bytes[local] = b'X';
    assert_eq!(rule(&bytes), Rule::MalformedRecord);
}

#[test]
fn a_compression_method_that_only_the_local_header_claims_is_ignored_as_devices_do() {
    let mut bytes = apk();
    let (_, local) = records(&bytes, "assets/first.bin");
    bytes[local + 8] = 8;
    assert_eq!(read_entry(&bytes, "assets/first.bin", 1000).unwrap(), [1; 300]);
}

#[test]
fn entries_that_share_bytes() {
    let mut bytes = apk();
    lie_about_sizes(&mut bytes, "assets/first.bin", 400, 400);
    assert_eq!(rule(&bytes), Rule::OverlappingEntries);
    // The last one reaches into the directory.
    let mut bytes = apk();
    lie_about_sizes(&mut bytes, "assets/second.bin", 301, 301);
    assert_eq!(rule(&bytes), Rule::OverlappingEntries);
    // A header inside the directory.
    let mut bytes = apk();
    let (record, _) = records(&bytes, "assets/second.bin");
    put(&mut bytes, record + 42, record as u32);
    assert_eq!(rule(&bytes), Rule::OverlappingEntries);
}

#[test]
fn a_stored_entry_with_two_sizes() {
    let mut bytes = apk();
    lie_about_sizes(&mut bytes, "assets/first.bin", 300, 299);
    assert_eq!(rule(&bytes), Rule::HeaderMismatch);
}

#[test]
fn an_entry_that_is_marked_as_encrypted_matters_when_it_is_read() {
    let marked = |name: &str| {
        let mut bytes = apk();
        let (record, _) = records(&bytes, name);
        bytes[record + 8] |= 1;
        bytes
    };
    assert!(inspect(&marked("assets/first.bin")).is_ok());
    assert_eq!(rule(&marked("AndroidManifest.xml")), Rule::Encrypted);
    let error = read_entry(&marked("assets/first.bin"), "assets/first.bin", 1000).unwrap_err();
    assert_eq!(error.rule(), Some(Rule::Encrypted));
}

#[test]
fn a_bomb_that_declares_its_size() {
    let bomb = |count: usize| {
        let file = |apk: ApkBuilder, number| apk.file(&format!("assets/{number}"), vec![0; 100_000]);
        let mut bytes = (0..count).fold(ApkBuilder::new("a.b", 1), file).unsigned();
        for number in 0..count {
            let name = format!("assets/{number}");
            let (record, _) = records(&bytes, &name);
            let packed = u32_at(&bytes, record + 20);
            lie_about_sizes(&mut bytes, &name, packed, 0x7fff_ffff);
        }
        bytes
    };
    assert!(
        inspect(&bomb(1)).is_ok(),
        "an entry that nobody unpacks does no harm"
    );
    assert_eq!(rule(&bomb(3)), Rule::TooLarge);
}

#[test]
fn a_bomb_in_the_place_of_the_manifest() {
    let mut bytes = ApkBuilder::new("a.b", 1)
        .raw_manifest(vec![0; 200_000])
        .unsigned();
    let (record, _) = records(&bytes, "AndroidManifest.xml");
    let packed = u32_at(&bytes, record + 20);
    lie_about_sizes(&mut bytes, "AndroidManifest.xml", packed, 20 << 20);
    assert_eq!(rule(&bytes), Rule::TooLarge);
    // One that hides its size is stopped where it said it would end.
    lie_about_sizes(&mut bytes, "AndroidManifest.xml", packed, 1000);
    assert_eq!(rule(&bytes), Rule::CorruptEntry);
}

#[test]
fn a_deflate_stream_that_is_damaged_or_too_short() {
    let good = ApkBuilder::new("a.b", 1)
        .file("assets/a", b"abcabcabc".repeat(5000))
        .unsigned();
    let (record, local) = records(&good, "assets/a");
    let (packed, unpacked) = (u32_at(&good, record + 20), u32_at(&good, record + 24));
    let error = |bytes: &Vec<u8>| read_entry(bytes, "assets/a", 1 << 20).unwrap_err().rule();
    let mut bytes = good.clone();
    bytes[local + 38..local + 48].fill(0xff);
    assert_eq!(error(&bytes), Some(Rule::CorruptEntry));
    for (packed, unpacked) in [
        (packed - 2, unpacked),
        (packed, unpacked + 1),
        (packed, unpacked - 1),
        (0, unpacked),
    ] {
        let mut bytes = good.clone();
        lie_about_sizes(&mut bytes, "assets/a", packed, unpacked);
        assert_eq!(error(&bytes), Some(Rule::CorruptEntry), "{packed} to {unpacked}");
    }
}

/// A file of zeros with an end record: its size costs nothing.
struct Sparse {
    len: u64,
    end: Vec<u8>,
}

impl Source for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = self.len - self.end.len() as u64;
        for (at, byte) in (offset..).zip(buf) {
            *byte = if at < start {
                0
            } else {
                self.end[(at - start) as usize]
            };
        }
        Ok(())
    }
}

#[test]
fn a_directory_of_a_gigabyte_is_not_read() {
    let mut end = Anatomy::of(&apk()).end;
    put(&mut end, 12, 1 << 30);
    put(&mut end, 16, 0);
    let error = inspect(&Sparse { len: 2 << 30, end }).unwrap_err();
    assert_eq!(error.rule(), Some(Rule::DirectoryTooLarge));
}

#[test]
fn storage_that_fails_is_no_fault_of_the_file() {
    struct Failing;
    impl Source for Failing {
        fn len(&self) -> u64 {
            1000
        }
        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    assert!(matches!(inspect(&Failing), Err(Error::Read(_))));
}
