use axum::http::{HeaderMap, header};

/// Weight of a media type that the client does not mention.
const UNNAMED: u16 = 0;

/// Preferences of the header `accept` (RFC 9110, 12.5.1).
pub(crate) struct Accept<'a> {
    /// Ranges of media types, each with its weight in thousandths.
    ranges: Vec<(&'a str, u16)>,
}

/// Weight of a media type, and how it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    /// In thousandths; 0: the client does not accept it.
    pub(crate) thousandths: u16,
    /// True if a range names the type itself, not `*/*` or `type/*`.
    pub(crate) named: bool,
}

impl<'a> Accept<'a> {
    /// Parses the header. Parts that are malformed are left out: a client is not refused because of
    /// its taste.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let ranges = texts
            .flat_map(|text| text.split(','))
            .map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let media_type = parts.next().unwrap_or("");
                let weight = parts
                    .filter_map(|part| part.split_once('='))
                    .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
                let weight = weight.map_or(1000, |(_, text)| thousandths(text.trim()));
                (media_type, weight)
            })
            .filter(|(media_type, _)| media_type.contains('/'));
        Self {
            ranges: ranges.collect(),
        }
    }

    /// Returns the weight of a media type: that of the most specific range that it is in.
    pub(crate) fn weight(&self, media_type: &str) -> Weight {
        let find = |wanted: &str| {
            let mut ranges = self.ranges.iter();
            ranges.find(|(range, _)| range.eq_ignore_ascii_case(wanted))
        };
        let (family, _) = media_type.split_once('/').unwrap_or((media_type, ""));
        let named = find(media_type);
        let found = named
            .or_else(|| find(&format!("{family}/*")))
            .or_else(|| find("*/*"));
        Weight {
            thousandths: found.map_or(UNNAMED, |(_, weight)| *weight),
            named: named.is_some(),
        }
    }
}

/// Parses `0.25` as 250. What is no weight counts as 1, the default.
fn thousandths(text: &str) -> u16 {
    let weight: f32 = text.parse().unwrap_or(1.0);
    // Within 0 to 1,000, so that the conversion loses the fraction only; 0.0001 is not 0.
    let scaled = (weight * 1000.0).ceil().clamp(0.0, 1000.0);
    scaled as u16
}
