//! `fhsim ports`: who holds the ports of sessions now, and which one the next session would get.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use clap::Args;
use framehawk_sim::drive::holders::{Holder, Protocol, holders};
use framehawk_sim::scenario::quantity::Written;
use framehawk_sim::session::ports::PortRange;

use super::{Failure, output};

/// Say who holds the ports of sessions now, and which one the next session would get
#[derive(Debug, Args)]
pub(super) struct Ports {
    /// Only this port, with all that is known about it
    port: Option<u16>,
    /// The range of ports
    #[arg(long, value_name = "A-B", default_value = "3224-3324", value_parser = PortRange::parse)]
    range: PortRange,
    /// The address of this machine at which sessions would listen
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::from(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
}

impl Ports {
    pub(super) fn run(self) -> Result<(), Failure> {
        let lines = |range| holders(range).context("cannot read the list of this machine's sockets");
        let text = match self.port {
            None => overview(self.range, self.listen, &lines(self.range)?),
            Some(port) => {
                let only = PortRange::new(port, port).ok_or_else(|| {
                    Failure::Usage("port 0 is no port: ports go from 1 to 65535".to_owned())
                })?;
                page(port, self.range, self.listen, &lines(only)?)
            }
        };
        output::print(&text)
    }
}

/// Every held port of the range.
fn overview(range: PortRange, listen: IpAddr, holders: &[Holder]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match holders {
        [] => writeln!(text, "nobody holds a port of {range}"),
        _ => writeln!(text, "{}", table(holders)),
    };
    let hindered = |port| hinderers(port, listen, holders).next().is_some();
    let free: Vec<u16> = range.ports().filter(|&port| !hindered(port)).collect();
    let _ = match free.first() {
        Some(port) => {
            let (free, all) = (free.len(), range.len());
            writeln!(text, "the next session gets port {port}; {free} of {all} ports are free at {listen}")
        }
        None => writeln!(text, "the next session is refused: no port of {range} is free at {listen}"),
    };
    text
}

/// All that is known about a port.
fn page(port: u16, range: PortRange, listen: IpAddr, holders: &[Holder]) -> String {
    let mut text = String::new();
    let (lowest, highest) = range.ends();
    let _ = if range.ports().contains(&port) {
        let place = port - lowest + 1;
        writeln!(text, "port {port} is number {place} of the {} in {range}", range.len())
    } else {
        writeln!(text, "port {port} is not in {lowest}–{highest}: no session gets it")
    };
    if let Some(service) = registered(port) {
        let _ = writeln!(text, "it is registered for {service} (IANA), for UDP and TCP");
    }
    let _ = match holders {
        [] => writeln!(text, "nobody holds it"),
        _ => writeln!(text, "{}", table(holders)),
    };
    if range.ports().contains(&port) {
        let _ = match hinderers(port, listen, holders).next() {
            None => writeln!(text, "a session at {listen} can have it, once those below it are taken"),
            Some(_) => writeln!(text, "a session at {listen} skips it"),
        };
    }
    text
}

/// Who keeps a session from having `port` at `listen`: sessions are UDP.
fn hinderers(port: u16, listen: IpAddr, holders: &[Holder]) -> impl Iterator<Item = &Holder> {
    holders.iter().filter(move |holder| {
        holder.local.port() == port && holder.protocol == Protocol::Udp && holder.hinders(listen)
    })
}

/// The holders in columns: port and address, process, what it probably is.
fn table(holders: &[Holder]) -> String {
    let rows = holders.iter().map(|holder| {
        let owner = holder.owner.as_ref().map_or("someone".to_owned(), ToString::to_string);
        [format!("{} {}", holder.protocol, holder.local), owner, probably(holder)]
    });
    let rows: Vec<[String; 3]> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let lines = rows.iter().map(|[socket, owner, what]| {
        format!("{socket:first$}  {owner:second$}  {what}").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a holder probably is, by its command's name, else by what its port is registered for.
fn probably(holder: &Holder) -> String {
    let command = holder.owner.as_ref().map_or("", |owner| owner.command.as_str());
    let is = |starts: &[&str]| starts.iter().any(|start| command.to_lowercase().starts_with(start));
    if is(&["fhsim"]) {
        "ours".to_owned()
    } else if is(&["ctx", "citrix", "framehawk"]) {
        "Citrix, whose Framehawk has these ports by default".to_owned()
    } else {
        registered(holder.local.port()).map_or(String::new(), |service| format!("perhaps {service}"))
    }
}

/// What a port of the default range is registered for, where a program that has it is not rare, or has
/// been told of it (IANA, Service Name and Transport Protocol Port Number Registry).
fn registered(port: u16) -> Option<&'static str> {
    Some(match port {
        3251 => "Sys Scanner",
        3260 => "iSCSI",
        3268 => "the Global Catalog of Active Directory",
        3269 => "the Global Catalog of Active Directory over TLS",
        3283 => "Apple Remote Desktop",
        3306 => "MySQL",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use framehawk_sim::drive::holders::Owner;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn holder(protocol: Protocol, local: &str, command: Option<&str>) -> Holder {
        let owner = command.map(|command| Owner { pid: 4711, command: command.to_owned() });
        Holder { protocol, local: local.parse().unwrap(), owner }
    }

    #[test]
    fn the_next_session_gets_the_lowest_port_that_nobody_holds_for_udp() {
        let holders = [
            holder(Protocol::Udp, "127.0.0.1:3224", Some("fhsim")),
            holder(Protocol::Tcp, "0.0.0.0:3225", Some("mysqld")),
            holder(Protocol::Udp, "192.0.2.1:3226", None),
        ];
        let text = overview(PortRange::FRAMEHAWK, LOOPBACK, &holders);
        assert!(text.contains("udp 127.0.0.1:3224  fhsim (pid 4711)   ours\n"), "{text}");
        assert!(text.contains("udp 192.0.2.1:3226  someone\n"), "{text}");
        assert!(text.ends_with("the next session gets port 3225; 100 of 101 ports are free at 127.0.0.1\n"));
        let everywhere = overview(PortRange::FRAMEHAWK, Ipv4Addr::UNSPECIFIED.into(), &holders);
        assert!(everywhere.contains("99 of 101 ports are free at 0.0.0.0"), "{everywhere}");
    }

    #[test]
    fn a_full_range_is_said_to_be_full() {
        let range = PortRange::new(4000, 4000).unwrap();
        let text = overview(range, LOOPBACK, &[holder(Protocol::Udp, "[::]:4000", None)]);
        assert!(text.ends_with("the next session is refused: no port of 4000–4000 is free at 127.0.0.1\n"));
    }

    #[test]
    fn a_port_is_explained() {
        let text = page(3251, PortRange::FRAMEHAWK, LOOPBACK, &[]);
        assert!(text.contains("number 28 of the 101") && text.contains("Sys Scanner"), "{text}");
        assert!(text.contains("nobody holds it") && text.contains("can have it"), "{text}");
        let held = [holder(Protocol::Udp, "0.0.0.0:3251", Some("ctxgfx"))];
        let text = page(3251, PortRange::FRAMEHAWK, LOOPBACK, &held);
        assert!(text.contains("Citrix") && text.contains("skips it"), "{text}");
        assert!(page(80, PortRange::FRAMEHAWK, LOOPBACK, &[]).contains("no session gets it"));
    }
}
