use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("evenkeel-key-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &[u8], mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1B1C1D1E1F";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn hexadecimal_and_base64_say_the_same() {
    let key = RootKey::new(std::array::from_fn(|index| index as u8));
    for text in [HEX, &format!(" {HEX}\r\n\n"), BASE64, BASE64.trim_end_matches('='), "\t"] {
        match parse(text.as_bytes()) {
            Ok(read) => assert_eq!(read, key, "{text}"),
            Err(why) => assert_eq!((text, &*why), ("\t", "it has 0 characters, not 64 or 44")),
        }
    }
    let url = "-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8=";
    assert_eq!(parse(url.as_bytes()), parse(url.replace('-', "+").replace('_', "/").as_bytes()));
}

#[test]
fn what_is_no_key_is_refused_with_the_reason() {
    let long = "a".repeat(2000);
    for (text, why) in [
        (&HEX[1..], "it has 63 characters, not 64 or 44"),
        (&HEX.replace('f', "g").replace('0', "-"), "it is neither hexadecimal nor base64"),
        (&BASE64.replace("8=", "9="), "it is neither hexadecimal nor base64"),
        (&BASE64.replace('=', "A"), "it is neither hexadecimal nor base64"),
        (&"ab".repeat(32), "all its bytes are the same, so it is not random"),
        (&long, "it is larger than 1024 bytes"),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap_err(), why, "{text}");
    }
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let folder = Folder::new("mode");
    for mode in 0..0o1000 {
        let file = folder.write("key", HEX.as_bytes(), mode | 0o400);
        let read = read(&file);
        let is_open = mode & 0o007 != 0 || mode & 0o020 != 0;
        assert_eq!(read.is_err(), is_open, "{mode:o}");
        if let Err(failure) = read {
            let text = failure.to_string();
            assert!(text.contains("chmod 600") && text.contains("/key"), "{text}");
        }
    }
}

#[test]
fn a_key_is_made_once_for_its_owner_alone() {
    let folder = Folder::new("made");
    let path = folder.0.join("root.key");
    let missing = read(&path).unwrap_err().to_string();
    assert!(missing.contains("evenkeel key new"), "{missing}");
    let made = make(&path, &std::array::from_fn(|index| index as u8)).unwrap();
    assert_eq!(read(&path).unwrap(), made);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", HEX.to_lowercase()));
    let again = make(&path, &[7; KEY_SIZE]).unwrap_err().to_string();
    assert!(again.contains("Choose another name"), "{again}");
    assert_eq!(read(&path).unwrap(), made);
    assert!(read(&folder.0).unwrap_err().to_string().contains("is no file"));
}
