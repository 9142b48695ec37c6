use axum::http::StatusCode as Http;
use distributedlog::StatusCode as Code;

/// Returns the HTTP status of an answer with this code, by the table of [`Code`].
pub(super) fn http_status(code: Code) -> Http {
    Http::from_u16(code.http_status()).expect("the table has statuses from 200 to 504")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_of_http() {
        for &code in Code::ALL.iter().chain(&[Code::Other(7)]) {
            let status = http_status(code);
            assert_eq!(status.is_success(), code == Code::Success, "{code}");
        }
    }
}
