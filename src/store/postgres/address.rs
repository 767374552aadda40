//! The address of a database, and the user for it.

use std::fmt;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::store::StoreError;

/// The address of a database, and the user for it.
#[derive(Clone, Eq, PartialEq)]
pub struct Address {
    config: Config,
}

impl Address {
    /// Reads a URL, `postgres://user@host/database`; `password` counts when it has none.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        // The cause would repeat the URL, which may have a password in it.
        let mut config: Config = url
            .parse()
            .map_err(|_| StoreError::Away("the URL cannot be read".to_owned()))?;
        if let Some(password) = password
            && config.get_password().is_none()
        {
            config.password(password);
        }
        Ok(Self { config })
    }

    /// Whether TLS must be spoken: on the way to another machine, unless the URL says that it need
    /// not, and wherever the URL says that it must.
    pub fn wants_tls(&self) -> bool {
        match self.config.get_ssl_mode() {
            SslMode::Disable => false,
            SslMode::Prefer => !self.is_here(),
            _ => true,
        }
    }

    /// Whether every place that may be connected to is on this machine. `hostaddr` is connected to
    /// in place of any host, a socket too.
    fn is_here(&self) -> bool {
        match self.config.get_hostaddrs() {
            [] => self.config.get_hosts().iter().all(is_here),
            addresses => addresses.iter().all(|address| address.is_loopback()),
        }
    }

    pub(super) fn into_config(self) -> Config {
        self.config
    }
}

const DEFAULT_PORT: u16 = 5432;

/// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        let ports = self.config.get_ports();
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            // One port counts for all hosts.
            if let Some(port) = ports.get(at).or_else(|| ports.first())
                && *port != DEFAULT_PORT
            {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url, Some("from a file")).unwrap()
    }

    #[test]
    fn a_password_does_not_travel_in_the_clear_unless_that_is_written_out() {
        for (url, wants_tls) in [
            ("postgres://u@db.example.com/d", true),
            ("postgres://u@db.example.com/d?sslmode=require", true),
            ("postgres://u@db.example.com/d?sslmode=disable", false),
            ("postgres://u@127.0.0.1/d", false),
            ("postgres://u@localhost,db.example.com/d", true),
            ("postgres://u@localhost/d?sslmode=require", true),
            ("postgres://u@%2Frun%2Fpostgresql/d", false),
            ("postgres://u@%2Frun%2Fpostgresql,db.example.com/d", true),
            ("postgres://u@localhost/d?hostaddr=192.0.2.1", true),
            (
                "postgres://u@%2Frun%2Fpostgresql/d?hostaddr=192.0.2.1",
                true,
            ),
            (
                "postgres://u@localhost,localhost/d?hostaddr=::1,192.0.2.1",
                true,
            ),
            (
                "postgres://u@localhost,127.0.0.1/d?hostaddr=127.0.0.1,::1",
                false,
            ),
            ("postgres://u@db.example.com/d?hostaddr=127.0.0.1", false),
            ("postgres://u@localhost/d?host=db.example.com", true),
        ] {
            assert_eq!(address(url).wants_tls(), wants_tls, "{url}");
        }
    }

    #[test]
    fn the_password_of_the_url_goes_before_the_other_and_neither_is_shown() {
        let both = address("postgres://u:in-url@db.example.com:5433/d");
        assert_eq!(both.to_string(), "postgres://db.example.com:5433/d");
        assert_eq!(both.into_config().get_password(), Some(&b"in-url"[..]));
        let other = address("postgres://u@db.example.com/d").into_config();
        assert_eq!(other.get_password(), Some(&b"from a file"[..]));
        assert!(Address::parse("postgres://u:secret@:x/", None).is_err());
    }
}
