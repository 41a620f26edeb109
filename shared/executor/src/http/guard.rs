//! Addresses that a request made for others must not reach: those that only the machine itself reaches, where the
//! machine's credentials are told and its own programs listen.
//!
//! They are looked at where a name is resolved, so that the address which is judged is the one that is called, for the
//! first place as for every redirect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Resolves names, but to no such address.
#[derive(Debug, Default)]
pub(super) struct Guard(DefaultResolver);

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        match found.iter().map(|address| address.ip()).find(|ip| is_own(*ip)) {
            Some(ip) => {
                let why = format!(
                    "{ip} is an address that only this machine reaches, and a function asks none of them"
                );
                Err(Error::Other(why.into()))
            }
            None => Ok(found),
        }
    }
}

fn is_own(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_own_v4(ip),
        IpAddr::V6(ip) => match embedded(ip) {
            Some(ip) => is_own_v4(ip),
            // fe80::/10, and where EC2 tells credentials.
            None => ip.segments()[0] & 0xffc0 == 0xfe80 || ip.segments()[..2] == [0xfd00, 0x0ec2],
        },
    }
}

fn is_own_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0
}

/// The older address that an address stands for: mapped, compatible (`::` and `::1` among them), or translated (NAT64).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let translated = ip.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let last = u32::try_from(ip.to_bits() & u128::from(u32::MAX)).unwrap_or_default();
    if translated { Some(Ipv4Addr::from_bits(last)) } else { ip.to_ipv4() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_machine_reaches_is_known_in_every_way_of_writing_it() {
        let own = |ip: &str| is_own(ip.parse().unwrap());
        for ip in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.0.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
        ] {
            assert!(own(ip), "{ip}");
        }
        for ip in [
            "10.0.0.1",
            "192.168.1.1",
            "172.31.0.2",
            "8.8.8.8",
            "2001:db8::1",
            "fd00:ec3::1",
            "64:ff9b::808:808",
        ] {
            assert!(!own(ip), "{ip}");
        }
    }
}
