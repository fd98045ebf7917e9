//! The partitions of AWS: separate clouds with addresses of their own.

/// One of them. Source of the addresses: <https://docs.aws.amazon.com/general/latest/gr/iam-service.html>.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Partition {
    /// What the addresses of its services end with.
    pub(crate) suffix: &'static str,
    /// Where IAM answers; one address for all regions.
    pub(crate) iam: &'static str,
    /// The region that IAM signs with and logs its changes in.
    pub(crate) home: &'static str,
}

const COMMERCIAL: Partition =
    Partition { suffix: "amazonaws.com", iam: "https://iam.amazonaws.com", home: "us-east-1" };
const GOV: Partition =
    Partition { suffix: "amazonaws.com", iam: "https://iam.us-gov.amazonaws.com", home: "us-gov-west-1" };
const CHINA: Partition =
    Partition { suffix: "amazonaws.com.cn", iam: "https://iam.cn-north-1.amazonaws.com.cn", home: "cn-north-1" };

impl Default for Partition {
    fn default() -> Self {
        COMMERCIAL
    }
}

impl Partition {
    /// The partition of a region; `None` for a text that is no region, and for partitions cut off from the internet.
    pub(crate) fn of(region: &str) -> Option<Partition> {
        let mut parts = region.rsplitn(2, '-');
        let (number, rest) = (parts.next()?, parts.next()?);
        let formed = number.len() == 1
            && number.bytes().all(|b| b.is_ascii_digit())
            && rest.contains('-')
            && rest.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()));
        match rest.split('-').next()? {
            _ if !formed => None,
            "cn" => Some(CHINA),
            "us" if rest.starts_with("us-gov-") => Some(GOV),
            "us" if rest.starts_with("us-iso") => None,
            "af" | "ap" | "ca" | "eu" | "il" | "me" | "mx" | "sa" | "us" => Some(COMMERCIAL),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_belongs_to_its_partition() {
        for (region, home) in [
            ("eu-central-1", Some("us-east-1")),
            ("ap-southeast-4", Some("us-east-1")),
            ("us-gov-east-1", Some("us-gov-west-1")),
            ("cn-northwest-1", Some("cn-north-1")),
            ("us-iso-east-1", None),
            ("eu-central", None),
            ("eu-central-1.evil.test/", None),
            ("EU-central-1", None),
            ("", None),
        ] {
            assert_eq!(Partition::of(region).map(|p| p.home), home, "{region}");
        }
    }
}
