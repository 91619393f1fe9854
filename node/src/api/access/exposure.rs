//! What is open that perhaps should not be.

use std::net::{IpAddr, SocketAddr};

use crate::api::Listen;

/// A line for each thing that an operator should know.
pub(super) fn warnings(address: &Listen, tls: bool, mutual: bool, tokens: bool) -> Vec<String> {
    if !is_beyond_this_machine(address) {
        return vec![];
    }
    let mut told = vec![];
    if !mutual && !tokens {
        told.push(format!(
            "the API at {address} can be reached from other machines, and whoever reaches it may read and write everything: \
             close it with --tokens or --tls-client-ca, or --listen on tcp://127.0.0.1 or unix://"
        ));
    }
    if tokens && !tls {
        told.push(format!(
            "tokens for the API at {address} cross the network unencrypted, for everyone on the way to read: give --tls-cert and \
             --tls-key"
        ));
    }
    told
}

/// A host that is no address was bound by name; what it stands for is not known here, so it is taken for the worse.
fn is_beyond_this_machine(address: &Listen) -> bool {
    match address {
        Listen::Unix(_) => false,
        Listen::Tcp(address) => {
            let ip = address.parse().map(|address: SocketAddr| address.ip());
            !ip.is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_port_is_told_and_a_closed_one_is_not() {
        let mut told = String::new();
        for address in [
            "tcp://0.0.0.0:1",
            "tcp://[::]:1",
            "tcp://10.0.0.7:1",
            "tcp://127.0.0.2:1",
            "tcp://[::1]:1",
            "tcp://[::ffff:127.0.0.1]:1",
            "unix:///s",
        ] {
            let address: Listen = address.parse().expect("valid");
            for (tls, mutual, tokens) in [
                (false, false, false),
                (true, false, false),
                (true, true, false),
                (false, false, true),
                (true, false, true),
            ] {
                let lines = warnings(&address, tls, mutual, tokens);
                assert!(is_beyond_this_machine(&address) || lines.is_empty(), "{address}");
                let flags = format!("{address} tls={tls} mutual={mutual} tokens={tokens}");
                told.extend(lines.iter().map(|line| format!("{flags}\n  {line}\n")));
            }
        }
        insta::assert_snapshot!(told);
    }
}
