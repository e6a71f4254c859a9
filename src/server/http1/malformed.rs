//! What is wrong with a request that the strict reader rejects, in words for the client. Pure.

use crate::policy::path::Ambiguous;

/// Why the strict reader rejects a request. After each of these the connection ends: it is unknown where the next
/// request begins, or the client has not sent the end of the head yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum Malformed {
    #[error("a TLS handshake arrived where an HTTP request was expected")]
    Tls,
    #[error("a line of the header ends in, or holds, a bare line feed or carriage return")]
    LineEnd,
    #[error("the request line is not a method, a target and a version with one space between")]
    RequestLine,
    #[error("the method is longer than any that is known")]
    LongMethod,
    #[error("the request's target holds a character that no URI can hold")]
    Target,
    #[error("the method {0} is not forwarded")]
    Method(&'static str),
    #[error("the request's target is neither a path nor a URI")]
    Form,
    #[error(transparent)]
    Path(#[from] Ambiguous),
    #[error("the request's host is not valid")]
    Host,
    #[error("the request's target holds a fragment")]
    Fragment,
    #[error("the request's target is too long")]
    LongTarget,
    #[error("this version of HTTP is not supported here")]
    Version,
    #[error("a line of the header is folded, or starts with white space")]
    Fold,
    #[error("a line of the header has no colon")]
    NoColon,
    #[error("a header field has white space before its colon")]
    SpaceBeforeColon,
    #[error("a header field's name is empty or holds a character that no name can hold")]
    FieldName,
    #[error("a header field's value holds a control character")]
    FieldValue,
    #[error("the request has too many header fields")]
    ManyFields,
    #[error("the request's header is too long")]
    LongHeader,
    #[error("the request names more than one host")]
    TwoHosts,
    #[error("the Content-Length is not one decimal number")]
    Length,
    #[error("the request has more than one Content-Length")]
    TwoLengths,
    #[error("the request has a Content-Length and a Transfer-Encoding")]
    LengthAndCoding,
    #[error("the Transfer-Encoding is not a list that ends in one 'chunked'")]
    Coding,
    #[error("the transfer coding is not supported")]
    UnknownCoding,
    #[error("the request has more than one Transfer-Encoding")]
    TwoCodings,
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    CodingOfHttp10,
    #[error(
        "a chunk's size is not 1 to 16 hexadecimal digits for a number below 2^63, and the end of the line"
    )]
    ChunkSize,
    #[error("a chunk's extension is not ';' and a name, or these with '=' and a token or a quoted string")]
    ChunkExtension,
    #[error("the chunks' extensions are too long")]
    LongExtensions,
    #[error("a chunk is longer than its size says")]
    ChunkEnd,
    #[error("a field after the last chunk is not well-formed")]
    Trailer,
    #[error("a field after the last chunk may only stand in the header")]
    TrailerField,
    #[error("the fields after the last chunk are too long or too many")]
    LongTrailers,
    #[error("the request did not arrive in time")]
    Late,
}

impl Malformed {
    /// Returns the status of the response.
    pub(in crate::server) fn status(self) -> u16 {
        match self {
            Self::Method(_) => 405,
            Self::Late => 408,
            Self::LongTarget => 414,
            Self::ManyFields | Self::LongHeader | Self::LongTrailers => 431,
            // RFC 9112: section 3 for methods, section 6.1 for codings.
            Self::LongMethod | Self::UnknownCoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}
