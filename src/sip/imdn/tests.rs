//! Receipts as peers write them.

use proptest::prelude::*;

use super::*;

fn document(notification: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\r\n  <message-id>a1b2</message-id>\r\n  \
         <datetime>2026-11-22T05:00:00Z</datetime>\r\n  {notification}\r\n</imdn>\r\n"
    )
}

fn read(notification: &str) -> Result<Imdn, ImdnError> {
    parse(document(notification).as_bytes())
}

#[test]
fn every_notification_is_read_and_written() {
    for kind in NotificationKind::ALL {
        for status in NotificationStatus::ALL {
            let element = kind.element();
            let imdn = Imdn {
                message_id: "a1b2".to_owned(),
                kind,
                status,
                reason: None,
            };
            let status = status.element();
            let text = format!("<{element}><status><{status}/></status></{element}>");
            assert_eq!(read(&text), Ok(imdn.clone()));
            assert_eq!(
                parse(imdn.write("2026-11-22T05:00:00Z").as_bytes()),
                Ok(imdn)
            );
        }
    }
}

#[test]
fn the_reason_of_linphone_is_read() {
    for (text, reason) in [
        (
            "<failed/><reason code=\"415\">Unsupported Media Type</reason>",
            "415 Unsupported Media Type",
        ),
        ("<failed/><l:reason xmlns:l=\"x\" code='415'/>", "415"),
        (
            "<l:reason>a &lt;b&gt; <![CDATA[& c]]> &#233;</l:reason><failed></failed>",
            "a <b> & c é",
        ),
    ] {
        let text =
            format!("<delivery-notification><status>{text}</status></delivery-notification>");
        let imdn = read(&text).unwrap();
        assert_eq!(imdn.status, NotificationStatus::Failed);
        assert_eq!(imdn.reason.as_deref(), Some(reason));
    }
    let outside = "<delivery-notification><status><error/></status></delivery-notification>\
                   <reason code=\"488\"/>";
    assert_eq!(read(outside).unwrap().reason.as_deref(), Some("488"));
}

#[test]
fn prefixes_comments_and_foreign_elements_change_nothing() {
    let text = "\u{feff}<i:imdn xmlns:i=\"urn:ietf:params:xml:ns:imdn\"><!-- a --><?b c?>\
        <x><message-id>no</message-id><status><failed/></status></x>\
        <i:message-id> a1b2\n</i:message-id><i:recipient-uri>im:bob@example.com</i:recipient-uri>\
        <i:display-notification><i:status><i:displayed><y/></i:displayed></i:status>\
        </i:display-notification></i:imdn>";
    let expected = Imdn {
        message_id: "a1b2".to_owned(),
        kind: NotificationKind::Display,
        status: NotificationStatus::Displayed,
        reason: None,
    };
    assert_eq!(parse(text.as_bytes()), Ok(expected));
}

#[test]
fn what_says_nothing_of_a_message_is_refused() {
    let delivered = "<delivery-notification><status><delivered/></status></delivery-notification>";
    for (text, error) in [
        (String::new(), ImdnError::Incomplete),
        ("hello".to_owned(), ImdnError::Incomplete),
        (document(""), ImdnError::Incomplete),
        (document("<delivery-notification/>"), ImdnError::Incomplete),
        (
            document(delivered).replace("a1b2", " "),
            ImdnError::Incomplete,
        ),
        (
            document(delivered).replace("delivered", "eaten"),
            ImdnError::Incomplete,
        ),
        (
            document(delivered).replace("imdn", "note"),
            ImdnError::Incomplete,
        ),
        (document(delivered).replace("</imdn>", ""), ImdnError::Xml),
        (document(delivered).replace("</status>", ""), ImdnError::Xml),
        (
            document(delivered).replace("a1b2", "&other;"),
            ImdnError::Xml,
        ),
        (
            document(delivered).replace("a1b2", "&#x110000;"),
            ImdnError::Xml,
        ),
        (
            format!("<!DOCTYPE imdn [<!ENTITY a \"b\">]>{}", document(delivered)),
            ImdnError::Xml,
        ),
        (document(&"<x>".repeat(10_000)), ImdnError::TooLarge),
    ] {
        assert_eq!(parse(text.as_bytes()), Err(error), "{text}");
    }
    assert_eq!(parse(b"<imdn>\xff</imdn>"), Err(ImdnError::Xml));
}

#[test]
fn deep_documents_and_long_texts_harm_nothing() {
    let deep = format!("{}{}", "<x>".repeat(2_000), "</x>".repeat(2_000));
    assert_eq!(read(&deep), Err(ImdnError::Incomplete));
    let long = format!(
        "<delivery-notification><status><error/><reason>{}</reason></status></delivery-notification>",
        "é".repeat(4_000)
    );
    assert_eq!(
        read(&long).unwrap().reason.map(|reason| reason.len()),
        Some(512)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_the_same(
        message_id in "[!-~]{1,100}",
        reason in proptest::option::of("[!-~]{1,20}( [!-~]{1,20})?"),
        kind in 0..3_usize,
        status in 0..7_usize,
    ) {
        let imdn = Imdn {
            message_id,
            kind: NotificationKind::ALL[kind],
            status: NotificationStatus::ALL[status],
            reason,
        };
        prop_assert_eq!(parse(imdn.write("2026-11-22T05:00:00Z").as_bytes()), Ok(imdn));
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}", markup in "[<>/&;!?'\"= a-z\\[\\]-]{0,200}") {
        let _ = parse(text.as_bytes());
        let _ = parse(markup.as_bytes());
        let _ = read(&markup);
    }
}
