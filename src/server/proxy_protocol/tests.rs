//! Headers of both versions, whole and byte by byte, with what follows them untouched.

use tokio::io::AsyncWriteExt as _;

use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const REST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// What is found in `bytes`, and what is left of them.
fn read(bytes: &[u8]) -> (Result<Option<SocketAddr>, ProxyHeaderError>, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut whole = bytes;
        let found = read_header(&mut whole).await;
        // One byte at a time must not change anything: the pipe holds no more.
        let (mut near, mut far) = tokio::io::duplex(1);
        let slow = tokio::join!(
            async {
                let _ = near.write_all(bytes).await;
                drop(near);
            },
            async {
                let found = read_header(&mut far).await;
                drop(far);
                found
            }
        );
        assert_eq!(format!("{found:?}"), format!("{:?}", slow.1));
        (found, whole.to_vec())
    })
}

fn block(command: u8, family: u8, length: u16, address: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &length.to_be_bytes(), address].concat()
}

#[test]
fn lines() {
    for (line, source) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 65535 443\r\n", Some("192.0.2.1:65535")),
        ("PROXY TCP6 2001:db8::1 ::1 1 0\r\n", Some("[2001:db8::1]:1")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Some("[::ffff:192.0.2.1]:1")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n", None),
    ] {
        let (found, left) = read(&[line.as_bytes(), REST].concat());
        assert_eq!(found.unwrap(), source.map(|text| text.parse().unwrap()), "{line}");
        assert_eq!(left, REST, "{line}");
    }
}

#[test]
fn lines_that_are_not_right() {
    let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(92));
    for (line, error) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "Text"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", "Text"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", "Text"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", "Text"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", "Line"),
        ("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", "Text"),
        ("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", "Text"),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", "Text"),
        ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", "Text"),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "Text"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 junk\r\n", "Text"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", "Text"),
        ("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", "Text"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "Line"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r \r\n", "Line"),
        ("PROXY UNKNOWN \n", "Line"),
        ("PROXY UNKNOWN\n", "Line"),
        ("PROXY UNKNOWN \r\r\n", "Line"),
        ("PROXY UNKNOWN \u{e9}\r\n", "Line"),
        ("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", "Text"),
        ("PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", "Text"),
        ("PROXY \r\n", "Text"),
        ("PROXY\r\n", "NoHeader"),
        ("PROXY TCP4 192.0.2.1", "Cut"),
        ("", "Cut"),
        ("P", "Cut"),
        (&long, "Long"),
        ("POST / HTTP/1.1\r\n\r\n", "NoHeader"),
        ("GET / HTTP/1.1\r\n\r\n", "NoHeader"),
        ("proxy UNKNOWN\r\n", "NoHeader"),
    ] {
        let found = format!("{:?}", read(line.as_bytes()).0);
        assert!(found.starts_with(&format!("Err({error}")), "{}: {found}", line.escape_debug());
    }
}

#[test]
fn blocks() {
    let four = [192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 3, 4];
    let six = [[0x20; 16].as_slice(), &[0; 16], &[0, 80, 0, 1]].concat();
    let mapped = [&[0; 10][..], &[255, 255, 192, 0, 2, 1], &[0; 16], &[0, 80, 0, 1]].concat();
    let additions = [&four[..], &[4; 1000]].concat();
    for (header, source) in [
        (block(0x21, 0x11, 12, &four), Some("192.0.2.1:258")),
        (block(0x21, 0x11, 1012, &additions), Some("192.0.2.1:258")),
        (block(0x21, 0x21, 36, &six), Some("[2020:2020:2020:2020:2020:2020:2020:2020]:80")),
        (block(0x21, 0x21, 36, &mapped), Some("[::ffff:192.0.2.1]:80")),
        (block(0x21, 0x00, 0, &[]), None),
        (block(0x21, 0x00, 12, &four), None),
        (block(0x21, 0x10, 12, &four), None),
        (block(0x21, 0x31, 216, &[1; 216]), None),
        (block(0x20, 0x00, 0, &[]), None),
        (block(0x20, 0x11, 12, &four), None),
        (block(0x20, 0x11, 0, &[]), None),
        (block(0x20, 0xff, 3, &[1; 3]), None),
    ] {
        let (found, left) = read(&[&header, REST].concat());
        assert_eq!(found.unwrap(), source.map(|text| text.parse().unwrap()), "{header:?}");
        assert_eq!(left, REST, "{header:?}");
    }
}

#[test]
fn blocks_that_are_not_right() {
    let four = [192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 3, 4];
    for (header, error) in [
        (block(0x11, 0x11, 12, &four), "Binary(Version"),
        (block(0x31, 0x11, 12, &four), "Binary(Version"),
        (block(0x22, 0x11, 12, &four), "Binary(Command"),
        (block(0x21, 0x41, 12, &four), "Binary(AddressFamily"),
        (block(0x21, 0x13, 12, &four), "Binary(Protocol"),
        (block(0x21, 0x11, 11, &four), "Binary(InvalidAddresses"),
        (block(0x21, 0x21, 12, &four), "Binary(InvalidAddresses"),
        (block(0x21, 0x12, 12, &four), "Datagrams"),
        (block(0x21, 0x11, 12, &four[..11]), "Cut"),
        (block(0x21, 0x11, 4097, &[0; 4097]), "Long"),
        (block(0x20, 0x00, 4097, &[0; 4097]), "Long"),
        (SIGNATURE.to_vec(), "Cut"),
        (b"\r\nGET / HTTP/1.1\r\n\r\n".to_vec(), "NoHeader"),
        (b"\r\n\r\n\0\r\nQUIT\r!\x11\0\0".to_vec(), "NoHeader"),
    ] {
        let found = format!("{:?}", read(&header).0);
        assert!(found.starts_with(&format!("Err({error}")), "{header:?}: {found}");
    }
}
