//! Which HTTP status stands for which of DistributedLog's codes. The table in `docs/http.md` says
//! the same for people.

use axum::http::StatusCode as Http;
use distributedlog::StatusCode as Code;

/// The HTTP status of an answer with this code.
pub(super) fn http_status(code: Code) -> Http {
    match code {
        Code::Success => Http::OK,
        // Not a redirect: the owner's address is that of its thrift port, where no HTTP client can
        // go.
        Code::Found => Http::MISDIRECTED_REQUEST,
        Code::ChecksumFailed | Code::InvalidStreamName => Http::BAD_REQUEST,
        Code::RequestDenied => Http::FORBIDDEN,
        Code::LogNotFound | Code::LogSegmentNotFound => Http::NOT_FOUND,
        Code::LogExists
        | Code::EndOfStream
        | Code::TruncatedTransaction
        | Code::TransactionOutOfOrder => Http::CONFLICT,
        Code::TooLargeRecord => Http::PAYLOAD_TOO_LARGE,
        // Pushback: the client, or all clients together, sent more than is taken.
        Code::OverCapacity => Http::TOO_MANY_REQUESTS,
        Code::NotImplemented => Http::NOT_IMPLEMENTED,
        // What passes by itself.
        Code::ServiceUnavailable
        | Code::StreamNotReady
        | Code::StreamUnavailable
        | Code::RegionUnavailable
        | Code::TooManyStreams
        | Code::LockingException
        | Code::AlreadyClosed
        | Code::WriteCancelledException
        | Code::RetryableRead
        | Code::ReadCancelledException => Http::SERVICE_UNAVAILABLE,
        // The store's fault, not the proxy's.
        Code::BkTransmitError | Code::ZookeeperError => Http::BAD_GATEWAY,
        Code::FlushTimeout => Http::GATEWAY_TIMEOUT,
        Code::ClientClosed
        | Code::InternalServerError
        | Code::MetadataException
        | Code::LogEmpty
        | Code::WriteException
        | Code::InvalidEnvelopedEntry
        | Code::UnsupportedMetadataVersion
        | Code::EndOfLogSegment
        | Code::LogSegmentIsTruncated
        | Code::Unexpected
        | Code::Interrupted
        | Code::IllegalState
        | Code::LogReadError
        | Code::Other(_) => Http::INTERNAL_SERVER_ERROR,
        // Codes that core learns later.
        _ => Http::INTERNAL_SERVER_ERROR,
    }
}
