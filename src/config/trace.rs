//! `[trace]` and `[hep]`: what becomes of the SIP messages that pass.

use std::time::Duration;

use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::section::Section;
use crate::trace::{HepServer, HepSettings, HepTransport, Keep, Settings};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The port of a server that takes HEP, unless its URL says another.
const PORT: u16 = 9060;
/// Of a node's name, and of a password: a packet has room for both.
const MAX_TEXT: usize = 255;

/// `[trace]`: which frames of messages are kept.
pub(super) fn trace(mut section: Section<'_>) -> Settings {
    let keep = [
        ("failed", Keep::Failed),
        ("off", Keep::Off),
        ("all", Keep::All),
    ];
    let trace = Settings {
        keep: section.word("keep", &keep),
        retention: section.duration("retention", SECOND, 3650 * DAY),
        bodies: section.flag("bodies"),
    };
    section.finish();
    trace
}

/// `[hep]`: where frames are sent; `None` when no server is set.
pub(super) fn hep(mut section: Section<'_>) -> Option<HepSettings> {
    let accepted = "a udp, tcp or tls URL with a host, such as \"udp://homer.example:9060\"";
    let server = section.text("server", accepted, server);
    let capture_id = section.integer("capture_id", 0..=u64::from(u32::MAX));
    let accepted = "a text of one line and at most 255 bytes";
    let node = section.text("node", accepted, |text| {
        super::account::one_line(text).filter(|text| text.len() <= MAX_TEXT)
    });
    let password = section.secret("password", "1 to 255 bytes", |text| {
        (1..=MAX_TEXT)
            .contains(&text.len())
            .then(|| text.to_owned())
    });
    let authorities = section.authorities("ca_file");
    section.finish();
    Some(HepSettings {
        server: server?,
        capture_id,
        node: node.unwrap_or_default(),
        password: password.unwrap_or_default(),
        authorities,
    })
}

fn server(text: &str) -> Option<HepServer> {
    let url: Url = text.parse().ok()?;
    let transport = match url.scheme() {
        "udp" => HepTransport::Udp,
        "tcp" => HepTransport::Tcp,
        "tls" => HepTransport::Tls,
        _ => return None,
    };
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let is_name = ServerName::try_from(host.as_str()).is_ok();
    (is_plain && is_name && url.port() != Some(0)).then(|| HepServer {
        transport,
        host,
        port: url.port().unwrap_or(PORT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources, load};

    fn mistake(text: &str) -> String {
        let mistakes = Config::from_toml(text).unwrap_err();
        assert_eq!(mistakes.0.len(), 1, "{mistakes}");
        mistakes.0[0].to_string()
    }

    #[test]
    fn failed_messages_are_kept_for_a_day_without_bodies_and_nothing_is_sent() {
        let config = Config::from_toml("").unwrap();
        assert_eq!(config.trace.keep, Keep::Failed);
        assert_eq!(config.trace.retention, DAY);
        assert_eq!(config.retention.frames, DAY);
        assert!(!config.trace.bodies && config.hep.is_none());
    }

    #[test]
    fn what_no_packet_can_say_is_a_mistake() {
        let long = "a".repeat(MAX_TEXT + 1);
        for (text, key) in [
            ("hep.server = 'homer:9060'".to_owned(), "hep.server"),
            ("hep.capture_id = 4294967296".to_owned(), "hep.capture_id"),
            (format!("hep.node = '{long}'"), "hep.node"),
            (format!("hep.password = '{long}'"), "hep.password"),
            ("trace.keep = 'some'".to_owned(), "trace.keep"),
            ("trace.retention = '0s'".to_owned(), "trace.retention"),
        ] {
            let told = mistake(&text);
            assert!(told.starts_with(key), "{told}");
            assert!(!told.contains(&long) || key != "hep.password", "{told}");
        }
    }

    #[test]
    fn the_password_comes_from_a_file_too_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hep");
        std::fs::write(&file, "open sesame\n").unwrap();
        let server = "[hep]\nserver = 'udp://homer'\n";
        let in_file = format!("{server}password_file = '{}'", file.display());
        for text in [format!("{server}password = 'open sesame'"), in_file] {
            let sources = Sources {
                text: Some(text),
                ..Sources::default()
            };
            let loaded = load(&sources).unwrap();
            let hep = loaded.config.hep.as_ref().unwrap();
            assert_eq!(hep.password, "open sesame");
            let shown = format!("{:?} {hep:?}", loaded.settings);
            assert!(!shown.contains("sesame"), "{shown}");
        }
    }

    #[test]
    fn a_server_is_a_transport_and_a_place() {
        for (text, transport, host, port) in [
            ("udp://homer:9060", HepTransport::Udp, "homer", 9060),
            ("tcp://10.0.0.1", HepTransport::Tcp, "10.0.0.1", 9060),
            (
                "tls://[2001:db8::1]:9061/",
                HepTransport::Tls,
                "2001:db8::1",
                9061,
            ),
        ] {
            let expected = HepServer {
                transport,
                host: host.to_owned(),
                port,
            };
            assert_eq!(server(text), Some(expected), "{text}");
        }
        for text in [
            "homer:9060",
            "http://homer:9060",
            "udp://",
            "udp://:9060",
            "udp://homer:0",
            "udp://homer:99999",
            "udp://user@homer:9060",
            "tcp://homer:9060/hep",
            "tls://homer:9061?a",
            "udp://ho mer:9060",
        ] {
            assert_eq!(server(text), None, "{text}");
        }
    }
}
