//! The Redis protocol (RESP2), as far as every check needs it: commands are written into one buffer, and the parts of a
//! reply are found where they are. What is sent once per connection goes through the redis crate.

use bb8_redis::redis::{self, ErrorKind, RedisError, Value};

/// A command under construction. The number of its words is known from the start.
#[derive(Debug)]
pub(super) struct Command(Vec<u8>);

impl Command {
    /// Begins a command of this many words, the first of which are encoded already, with room for `bytes`.
    pub(super) fn new(words: usize, encoded: &[u8], bytes: usize) -> Self {
        let mut command = Vec::with_capacity(bytes);
        put_header(&mut command, b'*', words);
        command.extend_from_slice(encoded);
        Self(command)
    }

    /// Appends a word that consists of `parts`.
    pub(super) fn word(&mut self, parts: &[&[u8]]) -> &mut Self {
        put_word(&mut self.0, parts);
        self
    }

    /// Appends a number in digits.
    pub(super) fn number(&mut self, number: i64) -> &mut Self {
        put_number(&mut self.0, number);
        self
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Returns the encoding of the first words of a command.
pub(super) fn words(words: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::new();
    words.iter().for_each(|word| put_word(&mut encoded, &[word]));
    encoded
}

/// Appends a number in digits, as the next word of a command.
pub(super) fn put_number(buffer: &mut Vec<u8>, number: i64) {
    put_word(buffer, &[itoa::Buffer::new().format(number).as_bytes()]);
}

fn put_word(buffer: &mut Vec<u8>, parts: &[&[u8]]) {
    put_header(buffer, b'$', parts.iter().map(|part| part.len()).sum());
    for part in parts {
        buffer.extend_from_slice(part);
    }
    buffer.extend_from_slice(b"\r\n");
}

fn put_header(buffer: &mut Vec<u8>, kind: u8, number: usize) {
    match u8::try_from(number) {
        // The usual lengths.
        Ok(number @ 0..10) => buffer.extend_from_slice(&[kind, b'0' + number, b'\r', b'\n']),
        Ok(number @ 10..100) => {
            buffer.extend_from_slice(&[kind, b'0' + number / 10, b'0' + number % 10, b'\r', b'\n']);
        }
        _ => {
            buffer.push(kind);
            buffer.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            buffer.extend_from_slice(b"\r\n");
        }
    }
}

/// One complete reply, as the server sent it.
#[derive(Clone, Debug)]
pub(crate) struct Reply(Box<[u8]>);

impl Reply {
    /// Returns the reply at the start of `received`, which is as long as it is here. None: it is not complete.
    pub(super) fn first(received: &[u8]) -> Result<Option<Self>, RedisError> {
        let reply = length(received)?.and_then(|length| received.get(..length));
        Ok(reply.map(|reply| Self(reply.into())))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the value that the client library reads, or the error that the server reports.
    pub(crate) fn value(&self) -> Result<Value, RedisError> {
        match redis::parse_redis_value(&self.0)? {
            Value::ServerError(error) => Err(error.into()),
            value => Ok(value),
        }
    }

    /// Returns the error, if the server reports one.
    pub(crate) fn error(&self) -> Option<RedisError> {
        if self.0.first() == Some(&b'-') { self.value().err() } else { None }
    }

    /// Returns the fields of an array. Any other reply has none.
    pub(super) fn fields(&self) -> Fields<'_> {
        let array = self.0.strip_prefix(b"*").and_then(number);
        let fields = array.and_then(|(left, rest)| Some(Fields { left: u64::try_from(left).ok()?, rest }));
        fields.unwrap_or(Fields { left: 0, rest: &[] })
    }
}

/// One field of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Integer(i64),
    Text(&'a [u8]),
}

/// The fields of an array. They end before a field that is neither an integer nor a text.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    left: u64,
    rest: &'a [u8],
}

impl Fields<'_> {
    /// Returns the number of fields that the array still has.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (kind, rest) = self.rest.split_first()?;
        let (number, rest) = number(rest)?;
        match kind {
            b':' => {
                self.rest = rest;
                Some(Field::Integer(number))
            }
            b'$' => {
                let (text, rest) = rest.split_at_checked(usize::try_from(number).ok()?)?;
                self.rest = rest.strip_prefix(b"\r\n")?;
                Some(Field::Text(text))
            }
            _ => None,
        }
    }
}

/// Returns the length of the value at the start of `bytes`. None: it is not complete.
fn length(bytes: &[u8]) -> Result<Option<usize>, RedisError> {
    let invalid = || RedisError::from((ErrorKind::Parse, "invalid reply"));
    let (mut rest, mut values) = (bytes, 1_u64);
    while values > 0 {
        let Some((kind, line)) = rest.split_first() else { return Ok(None) };
        if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(invalid());
        }
        let Some(end) = line.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let Some((text, after)) = line.split_at_checked(end + 1) else { return Ok(None) };
        (rest, values) = (after, values - 1);
        if matches!(kind, b'$' | b'*') {
            let (number, _) = number(text).ok_or_else(invalid)?;
            match (kind, u64::try_from(number)) {
                // A negative length stands for no value.
                (_, Err(_)) => {}
                (b'*', Ok(fields)) => values = values.saturating_add(fields),
                (_, Ok(length)) => {
                    let end = usize::try_from(length).ok().and_then(|length| length.checked_add(2));
                    match rest.split_at_checked(end.ok_or_else(invalid)?) {
                        Some((text, after)) if text.ends_with(b"\r\n") => rest = after,
                        Some(_) => return Err(invalid()),
                        None => return Ok(None),
                    }
                }
            }
        } else if !text.ends_with(b"\r\n") {
            return Err(invalid());
        }
    }
    Ok(Some(bytes.len() - rest.len()))
}

/// Returns the number at the start of a line, and what follows the line.
fn number(line: &[u8]) -> Option<(i64, &[u8])> {
    let (mut rest, sign) = line.strip_prefix(b"-").map_or((line, 1), |digits| (digits, -1));
    let digits = rest.len();
    let mut number = 0_i64;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        number = number.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
        rest = after;
    }
    (rest.len() < digits).then_some((sign * number, rest.strip_prefix(b"\r\n")?))
}

#[cfg(test)]
mod tests {
    use bb8_redis::redis::{ErrorKind, ServerErrorKind, Value};

    use super::{Command, Field, Reply};

    /// Replies of every kind that a RESP2 server sends.
    const REPLIES: [&[u8]; 10] = [
        b"+OK\r\n",
        b"-NOSCRIPT No matching script.\r\n",
        b":-12\r\n",
        b"$0\r\n\r\n",
        b"$4\r\n\r\n$1\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*3\r\n:1700000000000\r\n:1\r\n$3\r\na\r\n\r\n",
        b"*2\r\n*2\r\n:1\r\n*1\r\n+a\r\n*1\r\n$-1\r\n",
    ];

    fn reply(bytes: &[u8]) -> Reply {
        Reply::first(bytes).unwrap().expect("it is complete")
    }

    #[test]
    fn a_reply_ends_where_the_client_library_finds_its_end() {
        for bytes in REPLIES {
            let received = [bytes, b":1\r\n"].concat();
            assert_eq!(reply(&received).len(), bytes.len(), "{}", bytes.escape_ascii());
            reply(&received).value().map_or_else(|error| assert_eq!(bytes[0], b'-', "{error}"), drop);
        }
    }

    #[test]
    fn no_beginning_of_a_reply_is_a_reply() {
        for bytes in REPLIES {
            for length in 0..bytes.len() {
                assert!(
                    Reply::first(&bytes[..length]).unwrap().is_none(),
                    "{}",
                    bytes[..length].escape_ascii()
                );
            }
        }
    }

    #[test]
    fn invalid_bytes_are_an_error() {
        for bytes in
            [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\r\n", b"$x\r\n", b"*\r\n", b"$1\r\nabc", b"*1\r\n?"]
        {
            assert_eq!(Reply::first(bytes).unwrap_err().kind(), ErrorKind::Parse, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_length_that_memory_cannot_have_is_an_error_or_incomplete() {
        for bytes in [
            &b"$9223372036854775807\r\n"[..],
            b"*9223372036854775807\r\n:1\r\n",
            b"$99999999999999999999\r\n",
        ] {
            assert!(!matches!(Reply::first(bytes), Ok(Some(_))), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn fields_are_integers_and_texts() {
        let fields: Vec<_> = reply(REPLIES[8]).fields().map(|field| format!("{field:?}")).collect();
        let expected = [Field::Integer(1_700_000_000_000), Field::Integer(1), Field::Text(b"a\r\n")];
        assert_eq!(fields, expected.map(|field| format!("{field:?}")));
    }

    #[test]
    fn fields_end_before_what_is_neither() {
        for bytes in
            [&b"*2\r\n*1\r\n:1\r\n:2\r\n"[..], b"*1\r\n$-1\r\n", b"*1\r\n-ERR\r\n", b":1\r\n", b"*-1\r\n"]
        {
            assert_eq!(reply(bytes).fields().next(), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn an_error_is_the_one_that_the_server_reports() {
        let error = reply(REPLIES[1]).error().unwrap();
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript));
        assert!(reply(REPLIES[0]).error().is_none());
    }

    #[test]
    fn a_command_is_an_array_of_its_words() {
        let mut command = Command::new(3, &super::words(&[b"ECHO"]), 0);
        command.word(&[b"a", b":", b"b"]).number(-10);
        let sent = command.into_bytes();
        assert_eq!(sent, b"*3\r\n$4\r\nECHO\r\n$3\r\na:b\r\n$3\r\n-10\r\n");
        let words = ["ECHO", "a:b", "-10"].map(|word| Value::BulkString(word.into()));
        assert_eq!(reply(&sent).value().unwrap(), Value::Array(words.into()));
    }
}
